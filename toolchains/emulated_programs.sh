#!/bin/bash
# Wraps foreign programs, so that this machine can start them by path: emulated_programs.sh INTO EMULATOR PROGRAM...
#
# For each PROGRAM, INTO gets two files: NAME.elf, a hard link to it, and NAME, a script that runs NAME.elf under EMULATOR (one
# string: "qemu-arm-static -L SYSROOT"). Whatever starts programs from a folder (the system tests' --bin) takes INTO instead.
#
# Hard links, because programs look for each other beside /proc/self/exe: what stands beside them must be the wrappers, too.
# Needs neither root nor binfmt_misc.
set -euo pipefail

into="${1:?usage: emulated_programs.sh INTO EMULATOR PROGRAM...}"
emulator="${2:?usage: emulated_programs.sh INTO EMULATOR PROGRAM...}"
shift 2
mkdir -p "$into"
into="$(cd "$into" && pwd)"
for program in "$@"; do
  name="$(basename "$program")"
  ln -f "$program" "$into/$name.elf"
  # shellcheck disable=SC2016  # "$0" and "$@" are the wrapper's own
  printf '#!/bin/sh\nexec %s -0 "$0" "%s" "$@"\n' "$emulator" "$into/$name.elf" > "$into/$name.new"
  chmod 755 "$into/$name.new"
  mv -f "$into/$name.new" "$into/$name"
done
