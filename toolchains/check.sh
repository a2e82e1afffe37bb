#!/bin/bash
# The steps of ./run check; sourced by ./run, which has installed what they need.
#
# Each step is a function named check_<step>. All run, also after a failure; the last lines name the ones that failed.

all_steps=(format house shell gcc clang tidy model spill-mutants asan tsan)
# What continuous integration runs after ./run test, which has built with gcc and run the models: the others take many minutes
# to find what these seldom miss, and are run by hand before a change is called done.
quick_steps=(format house shell lint asan tsan)

# The project's own C++ files, tracked or about to be.
sources() {
  git ls-files --cached --others --exclude-standard -- '*.h' '*.cc' '*.c' | while read -r file; do
    [[ -f $file ]] && echo "$file"
  done
}

check_format() {
  sources | xargs clang-format-14 --dry-run -Werror
}

check_house() {
  # shellcheck disable=SC2154  # set by ./run
  "$python" tests/house/check_style.py
}

check_shell() {
  git ls-files -z --cached --others --exclude-standard -- run .ci/run '*.sh' | xargs -0 shellcheck -x
}

check_gcc() {
  configure release -DSPILLWAY_TESTS=ON && build release
}

check_clang() {
  configure clang && build clang
}

# The thin shells around Beast and Asio: there the analyzer walks the libraries' templates, for two thirds of the time.
socket_shells='^uplink/(consumer/)?(link|daemon|sources)/'

# tidy CHECKS: reads the files that its input names, one by one.
tidy() {
  xargs -r -P "$(jobs)" -n 1 clang-tidy-14 -p build/clang --quiet --checks="$1" >> build/tidy.log 2>> build/tidy.err
}

# Names in build/tidy-files what there is to read. Over the clang build's commands, for clang-tidy knows clang's flags; its
# generated headers must be there.
list_for_tidy() {
  configure clang && build clang spillway_generated || return 1
  # The tests are left out: GoogleTest's macros alone trip several checks, and the compilers see them anyway.
  sources | grep -v -E '^(tests|bench)/.*|\.h$' | while read -r file; do
    grep -q -F "$PWD/$file" build/clang/compile_commands.json && echo "$file"
  done > build/tidy-files
  echo "clang-tidy reads $(wc -l < build/tidy-files) files"
  rm -f build/tidy.log build/tidy.err
}

tidy_complains() {
  cat build/tidy.log
  grep -v 'warnings generated' build/tidy.err >&2
  return 1
}

check_tidy() {
  list_for_tidy || return 1
  local failed=0
  grep -E "$socket_shells" build/tidy-files | tidy '-clang-analyzer-*' || failed=1
  grep -v -E "$socket_shells" build/tidy-files | tidy '' || failed=1
  ((failed == 0)) || tidy_complains
}

# The same without the analyzer.
check_lint() {
  list_for_tidy || return 1
  tidy '-clang-analyzer-*' < build/tidy-files || tidy_complains
}

# The lane's headers under every order of steps and every stale read that C++ allows, and the doorbell.
check_model() {
  configure release -DSPILLWAY_TESTS=ON && build release tests_model || return 1
  ctest --test-dir build/release --output-on-failure -j "$(jobs)" -L model
}

# Each sync of core/spill left out and each order turned round, one by one: the fault suite is red for every one of them.
check_spill-mutants() {
  configure release -DSPILLWAY_TESTS=ON &&
    build release core_{stream,recovery,gap_table,cursor,repair,bit_rot,stream_age,reserve,placement}_test || return 1
  # shellcheck disable=SC2154  # set by ./run
  "$python" tests/faults/spill_mutants.py --build build/release --jobs "$(jobs)"
}

# Every state machine, format and lane test. Left out by name, with what takes their place:
#   system.*, network.*, agent.*, arm.* and link_test (not built here) drive the daemons as they ship: the socket templates take
#     minutes to compile with sanitizers, and the same state machines run in the rooms' tests.
#   fuzz.websocket for the same reason; sim.* is thousands of worlds of the same machines.
#   RecoveryTest runs with one seed for each size of sector, PlacementTest with one, BitRotTest on a sixteenth of the bytes: the
#     others run the same code, for many minutes here. So do RepairAnything's and RepairPowerCut's hundreds of lives: RepairTest stays.
asan_targets=(tests_core tests_shm tests_edge-agent tests_capture uplink_session_test consumer_session_test session_pair_test inbox_test
  fault_restart_test {lane,uplink,consumer,api_json,api_schema,api_http}_fuzzer_replay network_link_model_test)
asan_exclusions='^(system|network|agent|arm|house|model|sim)\.|^fuzz\.websocket|^core\.[a-z]|_NOT_BUILT|(Recovery|Placement)Test\..*/(2|3|1001)$|BitRotTest\..*/([1-9]|1[0-5])$|RepairAnything|RepairPowerCut'

check_asan() {
  configure asan && build asan "${asan_targets[@]}" || return 1
  ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1 \
    ctest --test-dir build/asan --output-on-failure -j "$(jobs)" -E "$asan_exclusions"
}

# Threads over one mapping are the lane's business: shm's tests. Without address randomisation, for GCC 12's runtime
# does not find its shadow memory in the layouts that newer kernels choose.
check_tsan() {
  configure tsan && build tsan tests_shm || return 1
  TSAN_OPTIONS=halt_on_error=1 \
    setarch --addr-no-randomize ctest --test-dir build/tsan --output-on-failure -j "$(jobs)" -L shm
}

check_all() {
  local step started failed=() steps=("$@")
  [[ ${#steps[@]} -gt 0 ]] || steps=("${all_steps[@]}")
  [[ ${steps[*]} == quick ]] && steps=("${quick_steps[@]}")
  for step in "${steps[@]}"; do
    declare -F "check_$step" > /dev/null || die "check: there is no step '$step': ${all_steps[*]}" 2
  done
  for step in "${steps[@]}"; do
    say "check: $step"
    started=$SECONDS
    # A subshell, so that a failing configure ends the step and not the others.
    if ( "check_$step" ); then
      echo "-- $step: ok, $((SECONDS - started)) s"
    else
      echo "-- $step: FAILED, $((SECONDS - started)) s"
      failed+=("$step")
    fi
  done
  if [[ ${#failed[@]} -gt 0 ]]; then
    say "check failed: ${failed[*]}"
    return 1
  fi
  say "check: all of ${steps[*]} are ok"
}
