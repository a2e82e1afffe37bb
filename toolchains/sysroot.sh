#!/bin/bash
# Makes a sysroot for one architecture and prints its path: sysroot.sh arm64|armhf|riscv64|musl
#
# The sysroot holds the headers and libraries a cross build needs, taken from this machine's own apt sources by
# mmdebstrap, without adding a foreign architecture to the machine. It is made under a temporary name and renamed, so
# an interrupted run leaves nothing that looks finished. It is made anew when the list of packages below changes.
#
# Debian 12 is not built for riscv64. Its sysroot takes the C library, zstd and the runtime libraries from Debian 13, and the
# header-only libraries, which are of no architecture, from the arm64 sysroot, so that they are the versions built with elsewhere.
set -euo pipefail

arch="${1:?usage: sysroot.sh arm64|armhf|riscv64|musl}"
debian_arch="$arch"
suite=bookworm
headers=()
case "$arch" in
  arm64 | armhf)
    packages=(
      libc6-dev linux-libc-dev libstdc++-12-dev libboost1.81-dev libboost-json1.81-dev libflatbuffers-dev libxxhash-dev
      libtomlplusplus-dev libspdlog-dev libfmt-dev libexpected-dev libcli11-dev libzstd-dev libssl-dev libsqlite3-dev
      libiceoryx-posh-dev iceoryx librabbitmq-dev librdkafka-dev libnats-dev libmosquitto-dev libcurl4-openssl-dev libpq-dev
    )
    ;;
  riscv64)
    suite=trixie
    packages=(libc6-dev linux-libc-dev libstdc++6 libgcc-s1 libatomic1 libzstd-dev)
    headers=(boost flatbuffers xxhash.h xxh3.h tl toml++ spdlog fmt)
    headers_of="$("${BASH_SOURCE[0]}" arm64)"
    ;;
  musl)  # for 64-bit ARM, and for the producer library alone, which needs no library
    debian_arch=arm64
    packages=(musl-dev linux-libc-dev)
    headers=(flatbuffers xxhash.h xxh3.h)
    headers_of="$("${BASH_SOURCE[0]}" arm64)"
    ;;
  *) echo "sysroot.sh: no sysroot for '$arch': give arm64, armhf, riscv64 or musl" >&2; exit 2 ;;
esac

cache="${SPILLWAY_CACHE:-$HOME/.cache/spillway}"
sysroot="$cache/sysroot-$arch"
wanted="$suite $arch ${packages[*]}${headers[*]:+ ${headers[*]}}"

mkdir -p "$cache"
exec 9> "$cache/sysroot-$arch.lock"
flock 9

if [[ -f "$sysroot/.wanted" && "$(< "$sysroot/.wanted")" == "$wanted" ]]; then
  echo "$sysroot"
  exit 0
fi

scratch="$(mktemp -d "$cache/sysroot-$arch.partial.XXXXXX")"
trap 'rm -rf "$scratch"' EXIT

# The release suite alone: the security suite's armhf index has been seen broken, and a sysroot runs nothing but tests.
"$(dirname "${BASH_SOURCE[0]}")/apt_sources.sh" bookworm "$suite" > "$scratch/sources.list"

# .versions in the sysroot names each package and version that went in, for a bug report.
include="$(IFS=,; echo "${packages[*]}")"
echo "sysroot.sh: making $sysroot (about a minute)" >&2
# shellcheck disable=SC2016  # "$1" is the hook's own: the sysroot
if ! mmdebstrap --variant=extract --architectures="$debian_arch" --include="$include" \
    --extract-hook='cd "$1/var/cache/apt/archives" && ls -- *.deb > "$1/.versions"' \
    --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Languages "none"' \
    "$suite" "$scratch/root" "$scratch/sources.list" > "$scratch/log" 2>&1; then
  tail -n 20 "$scratch/log" >&2
  echo "sysroot.sh: mmdebstrap failed for $arch; its last lines are above" >&2
  exit 3
fi

# Absolute links point into the build machine; a library's .so link then misses and the linker quietly takes the .a.
find "$scratch/root" -type l -lname '/*' -path '*/lib/*' | while read -r link; do
  ln -snfr "$scratch/root$(readlink "$link")" "$link"
done
# A program under qemu-user -L looks here first, for everything: its shared memory and temporary files are this machine's.
rm -rf "$scratch/root/dev" "$scratch/root/tmp"
# From Debian 13 on, /lib is a link that none of these packages brings.
[[ -e "$scratch/root/lib" ]] || ln -s usr/lib "$scratch/root/lib"
for header in "${headers[@]}"; do
  cp -a "$headers_of/usr/include/$header" "$scratch/root/usr/include/"
done
[[ ${#headers[@]} -eq 0 ]] || sed 's/^/headers of: /' "$headers_of/.versions" >> "$scratch/root/.versions"
echo "$wanted" > "$scratch/root/.wanted"
chmod 755 "$scratch/root"

rm -rf "$sysroot"
mv "$scratch/root" "$sysroot"
echo "$sysroot"
