#!/bin/bash
# Makes the disk of an emulated arm64 board that runs Debian with these packages installed, and prints its folder, which holds
# vmlinuz, initrd.img and root.img: board_image.sh OUT_DIR DEB...
#
# Debian itself is unpacked and configured once and kept in the cache; the packages are installed into a copy by dpkg, as on a board:
# their scripts run under qemu-user, which the kernel is told of (binfmt_misc) for as long as this takes. Needs root.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

# Unpacked, not installed: an initramfs for every machine there is would take half an hour under qemu-user. Called by mmdebstrap.
add_kernel() {
  local root="$1" version
  export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
  cd "$root/tmp"
  apt-get download "$(apt-cache depends "$2" | awk '$1 == "Depends:" { print $2; exit }')"
  # Beside, then moved: dpkg -x would put a folder in the place of the link /lib.
  dpkg -x linux-image-*.deb kernel
  mv kernel/boot/* "$root/boot/"
  mv kernel/lib/modules "$root/usr/lib/"
  rm -r kernel linux-image-*.deb
  version="$(ls "$root/lib/modules")"
  depmod --basedir "$root" "$version"
}
if [[ "${1:-}" == --add-kernel ]]; then
  add_kernel "$2" "$3"
  exit 0
fi

out="${1:?usage: board_image.sh OUT_DIR DEB...}"
shift
suite=bookworm
packages=(systemd-sysv udev kmod busybox-static libssl3 libsqlite3-0 libzstd1)
kernel=linux-image-arm64
cache="${SPILLWAY_CACHE:-$HOME/.cache/spillway}"
base="$cache/board-arm64.tar"
wanted="$suite ${packages[*]} $kernel"

mkdir -p "$cache" "$out"
exec 9> "$cache/board-arm64.lock"
flock 9

# A namespace of our own: the mounts go with it. What the kernel was told of stays until it is told otherwise.
if [[ -z "${SPILLWAY_BOARD_NAMESPACE:-}" ]]; then
  export SPILLWAY_BOARD_NAMESPACE=1
  exec unshare --mount --propagation private "$here/board_image.sh" "$out" "$@"
fi

scratch="$(mktemp -d "$cache/board.partial.XXXXXX")"
emulation=/proc/sys/fs/binfmt_misc/qemu-aarch64 registered=0
clean_up() {
  ((registered == 0)) || echo -1 > "$emulation"
  rm -rf "$scratch"
}
trap clean_up EXIT

mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
if [[ ! -e $emulation ]]; then
  tr -d '\n' < /usr/lib/binfmt.d/qemu-aarch64.conf > /proc/sys/fs/binfmt_misc/register
  registered=1
fi

if [[ ! -f $base || "$(cat "$base.wanted" 2> /dev/null)" != "$wanted" ]]; then
  echo "board_image.sh: unpacks and configures Debian $suite for arm64 (some minutes, once)" >&2
  "$here/apt_sources.sh" "$suite" > "$scratch/sources.list"
  include="$(IFS=,; echo "${packages[*]}")"
  mmdebstrap --variant=minbase --architectures=arm64 --include="$include" --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --customize-hook="$here/board_image.sh --add-kernel \"\$1\" $kernel" \
    "$suite" "$scratch/base.tar" "$scratch/sources.list" > "$scratch/log" 2>&1 || { tail -n 20 "$scratch/log" >&2; exit 3; }
  mv "$scratch/base.tar" "$base"
  echo "$wanted" > "$base.wanted"
fi

# Loads what the disk needs, and hands over to systemd.
make_initramfs() {
  local root="$1" version tree="$scratch/initramfs" module
  version="$(ls "$root/lib/modules")"
  mkdir -p "$tree"/{bin,dev,proc,modules,root}
  cp "$root/bin/busybox" "$tree/bin/"
  {
    printf '#!/bin/busybox sh\n'
    for module in pci_host_generic virtio_pci virtio_blk crc32c_generic ext4; do
      modprobe --dirname "$root" --set-version "$version" --show-depends "$module"
    done | awk -v tree="$tree" '$1 == "insmod" && !seen[$2]++ {
      system("cp " $2 " " tree "/modules/"); sub(".*/", "", $2); print "/bin/busybox insmod /modules/" $2 }'
    printf '/bin/busybox mount -t devtmpfs dev /dev\nuntil /bin/busybox mount -t ext4 /dev/vda /root; do /bin/busybox sleep 1; done\nexec /bin/busybox switch_root /root /sbin/init\n'
  } > "$tree/init"
  chmod 755 "$tree/init"
  (cd "$tree" && find . | cpio -o -H newc --quiet -R 0:0) > "$2"
}

root="$scratch/root"
mkdir "$root"
tar -C "$root" -xf "$base"
cp -- "$@" "$root/tmp/"
# No policy-rc.d is needed: where no systemd runs, the packages start nothing.
chroot "$root" sh -c 'dpkg --install /tmp/*.deb && rm /tmp/*.deb' >&2
cp "$root"/boot/vmlinuz-* "$out/vmlinuz"
make_initramfs "$root" "$out/initrd.img"
rm -f "$out/root.img"
truncate -s 2G "$out/root.img"
mkfs.ext4 -q -F -d "$root" "$out/root.img" >&2
echo "$out"
