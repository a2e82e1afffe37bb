#!/bin/bash
# fuzz.sh SECONDS [TARGET] [BUILD]: builds the fuzzers with clang and lets them run for so long together, or one of them alone,
# each over its corpus in this folder.
#
# New inputs that reach new code are added to a copy of the corpus, which is then minimised: how many there are is named, to
# be looked at and committed. A crash leaves its input beside the build and ends the run with an error.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
seconds="${1:?usage: fuzz.sh SECONDS [TARGET] [BUILD]}"
all=(lane uplink consumer websocket api_json api_schema api_http)
targets=("${all[@]}")
if [[ -n "${2:-}" ]]; then
  [[ " ${all[*]} " == *" $2 "* ]] || { echo "fuzz: no '$2': there are ${all[*]}" >&2; exit 2; }
  targets=("$2")
fi
build="${3:-$root/build/fuzz}"
# The longest input; what is longer says the same again.
declare -A longest=([lane]=1024 [uplink]=1024 [consumer]=2048 [websocket]=1024 [api_json]=2048 [api_schema]=2048 [api_http]=4096)

cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_COMPILER=clang-14 -DCMAKE_CXX_COMPILER=clang++-14 > /dev/null
cmake --build "$build" --target "${targets[@]/%/_fuzzer}" -j "${SPILLWAY_JOBS:-$(nproc)}"

share=$((seconds / ${#targets[@]}))
((share > 0)) || share=1
for target in "${targets[@]}"; do
  echo "== fuzzes $target for $share s"
  found="$build/corpus/$target"
  smallest="$build/minimised/$target"
  mkdir -p "$found" "$build/crashes"
  "$build/bin/${target}_fuzzer" -max_total_time="$share" -max_len="${longest[$target]}" -timeout=30 -print_final_stats=1 \
    -artifact_prefix="$build/crashes/$target-" "$found" "$here/corpus/$target"
  rm -rf "$smallest"
  mkdir -p "$smallest"
  "$build/bin/${target}_fuzzer" -set_cover_merge=1 -use_counters=0 "$smallest" "$here/corpus/$target" "$found"
  echo "$(find "$smallest" -type f | wc -l) inputs in $smallest, $(find "$here/corpus/$target" -type f | wc -l) in $here/corpus/$target"
done
