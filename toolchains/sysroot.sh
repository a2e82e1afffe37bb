#!/bin/bash
# Makes a sysroot for one architecture and prints its path: sysroot.sh arm64|armhf
#
# The sysroot holds the headers and libraries a cross build needs, taken from this machine's own apt sources by
# mmdebstrap, without adding a foreign architecture to the machine. It is made under a temporary name and renamed, so
# an interrupted run leaves nothing that looks finished. It is made anew when the list of packages below changes.
set -euo pipefail

arch="${1:?usage: sysroot.sh arm64|armhf}"
case "$arch" in
  arm64 | armhf) ;;
  *) echo "sysroot.sh: no sysroot for '$arch': give arm64 or armhf" >&2; exit 2 ;;
esac

packages=(
  libc6-dev linux-libc-dev libstdc++-12-dev libboost1.81-dev libboost-json1.81-dev libflatbuffers-dev libxxhash-dev
  libtomlplusplus-dev libspdlog-dev libfmt-dev libexpected-dev libcli11-dev libzstd-dev libssl-dev libsqlite3-dev
  libiceoryx-posh-dev iceoryx librabbitmq-dev librdkafka-dev libnats-dev libmosquitto-dev libcurl4-openssl-dev libpq-dev
)
suite=bookworm
cache="${SPILLWAY_CACHE:-$HOME/.cache/spillway}"
sysroot="$cache/sysroot-$arch"
wanted="$suite $arch ${packages[*]}"

mkdir -p "$cache"
exec 9> "$cache/sysroot-$arch.lock"
flock 9

if [[ -f "$sysroot/.wanted" && "$(< "$sysroot/.wanted")" == "$wanted" ]]; then
  echo "$sysroot"
  exit 0
fi

scratch="$(mktemp -d "$cache/sysroot-$arch.partial.XXXXXX")"
trap 'rm -rf "$scratch"' EXIT

# This machine's sources, as apt itself understands them (one-line or deb822 files alike), in the one-line form. The
# release suite alone: the security suite's armhf index has been seen broken, and a sysroot runs nothing but tests.
# shellcheck disable=SC2016  # the $(...) are apt's own placeholders
apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT) $(SIGNED_BY)' 'Created-By: Packages' |
  awk -v suite="$suite" -v keyring=/usr/share/keyrings/debian-archive-keyring.gpg '
    $2 == suite { print "deb [signed-by=" ($4 ~ /^\// ? $4 : keyring) "] " $1 " " $2 " " $3 }' |
  sort -u > "$scratch/sources.list"
if [[ ! -s "$scratch/sources.list" ]]; then
  echo "sysroot.sh: apt has no source for Debian $suite here: run 'apt-get update', or add one to /etc/apt" >&2
  exit 3
fi

# .versions in the sysroot names each package and version that went in, for a bug report.
include="$(IFS=,; echo "${packages[*]}")"
echo "sysroot.sh: making $sysroot (about a minute)" >&2
# shellcheck disable=SC2016  # "$1" is the hook's own: the sysroot
if ! mmdebstrap --variant=extract --architectures="$arch" --include="$include" \
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
echo "$wanted" > "$scratch/root/.wanted"
chmod 755 "$scratch/root"

rm -rf "$sysroot"
mv "$scratch/root" "$sysroot"
echo "$sysroot"
