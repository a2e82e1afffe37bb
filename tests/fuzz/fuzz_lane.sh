#!/bin/bash
# fuzz_lane.sh SECONDS [BUILD]: builds the lane fuzzer with clang and lets it run for so long, over the corpus in this folder.
#
# New inputs that reach new code are added to a copy of the corpus, which is then minimised: what is new in it is named, to
# be looked at and committed. A crash leaves its input beside the build and ends the run with an error.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
seconds="${1:?usage: fuzz_lane.sh SECONDS [BUILD]}"
build="${2:-$root/build/fuzz}"

cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_COMPILER=clang-14 -DCMAKE_CXX_COMPILER=clang++-14 \
  -DSPILLWAY_UPLINK=OFF > /dev/null
cmake --build "$build" --target lane_fuzzer -j "$(nproc)"

found="$build/corpus"
mkdir -p "$found" "$build/crashes"
"$build/bin/lane_fuzzer" -max_total_time="$seconds" -max_len=1024 -timeout=30 -print_final_stats=1 \
  -artifact_prefix="$build/crashes/" "$found" "$here/corpus/lane"
rm -rf "$build/minimised"
mkdir "$build/minimised"
"$build/bin/lane_fuzzer" -set_cover_merge=1 -use_counters=0 "$build/minimised" "$here/corpus/lane" "$found"
echo "$(find "$build/minimised" -type f | wc -l) inputs in $build/minimised, $(find "$here/corpus/lane" -type f | wc -l) in $here/corpus/lane"
