#!/bin/bash
# Unpacks Debian's kernel for the emulated board and prints its folder: nothing is installed, no boot loader is touched.
#
# It is fetched by apt from this machine's own sources, unpacked under a temporary name and renamed, so an interrupted run leaves
# nothing that looks finished.
set -euo pipefail

cache="${SPILLWAY_CACHE:-$HOME/.cache/spillway}"
package="$(apt-cache depends linux-image-cloud-amd64 2> /dev/null | awk '$1 == "Depends:" { print $2; exit }')"
[[ -n "$package" ]] || { echo "board_kernel.sh: apt knows no linux-image-cloud-amd64: run apt-get update as root" >&2; exit 3; }
kernel="$cache/$package"

mkdir -p "$cache"
exec 9> "$cache/board-kernel.lock"
flock 9
if [[ -d "$kernel" ]]; then
  echo "$kernel"
  exit 0
fi

scratch="$(mktemp -d "$cache/$package.partial.XXXXXX")"
trap 'rm -rf "$scratch"' EXIT
(cd "$scratch" && apt-get download -q "$package" > log 2>&1) || { cat "$scratch/log" >&2; exit 3; }
mkdir "$scratch/root"
dpkg -x "$scratch"/*.deb "$scratch/root"
mv "$scratch/root" "$kernel"
echo "$kernel"
