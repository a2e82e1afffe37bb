"""An emulated arm64 board that runs Debian with the packages installed: systemd starts the agent and the system sensor.

The image is toolchains/board_image.sh's. Its own disk starts each time as it was installed; /var/lib/spillway lies on a disk of its
own, which is the one that loses its power.
"""

import pathlib
import shutil

from board import HERE, call, mounted

MEMORY_MIB = 512
CONFIGURATION = """[gateway]
name = "board"
queue_dir = "{queue}"
spill_dir = "{spill}"
[[stream]]
name = "board"
topics = ["board/#"]
sync_interval = "200ms"
segment_bytes = "256KiB"
max_bytes = "96MiB"
[[stream]]
name = "system"
topics = ["#"]
sync_interval = "200ms"
segment_bytes = "256KiB"
max_bytes = "32MiB"
"""
WRITER_UNIT = """[Unit]
Description=Producers of the test
Requires=spillway-agent.service
After=spillway-agent.service
[Service]
ExecStart=/bin/sh -c 'exec sh /usr/local/lib/writer /run/spillway "$(sed "s/.*board.boot=//;s/ .*//" /proc/cmdline)"'
StandardOutput=tty
TTYPath=/dev/ttyAMA0
"""
WANTED = ["spillway-agent.service", "spillway-sensor.service", "writer.service"]


class DebianKit:
    configuration = CONFIGURATION
    spill = "."  # its place on the disk
    streams = ["board", "system"]

    def __init__(self, folder, image):
        self.image = pathlib.Path(image)
        self.root = pathlib.Path(folder) / "root.img"
        call("cp", "--sparse=always", self.image / "root.img", self.root)
        with mounted(self.root, pathlib.Path(folder) / "root") as root:
            (root / "etc/spillway/spillway.toml").write_text(CONFIGURATION.format(queue="/run/spillway", spill="/var/lib/spillway"))
            (root / "etc/fstab").write_text("/dev/vdb /var/lib/spillway ext4 defaults 0 2\n")
            (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
            (root / "etc/systemd/system/writer.service").write_text(WRITER_UNIT)
            shutil.copy(HERE / "writer", root / "usr/local/lib/writer")
            call("systemctl", f"--root={root}", "enable", *WANTED[:2])
            call("systemctl", f"--root={root}", "add-wants", "multi-user.target", *WANTED[2:])
            call("systemctl", f"--root={root}", "mask", "serial-getty@ttyAMA0.service")

    def command(self, start):
        """qemu for that start, but for the logged disk."""
        return ["qemu-system-aarch64", "-M", "virt", "-accel", "tcg", "-cpu", "cortex-a72", "-smp", "1", "-m", str(MEMORY_MIB),
                "-kernel", self.image / "vmlinuz", "-initrd", self.image / "initrd.img",
                "-append", f"root=/dev/vda rw console=ttyAMA0 quiet loglevel=1 panic=-1 systemd.show_status=0 board.boot={start}",
                "-drive", f"file={self.root},format=raw,if=none,id=root,snapshot=on", "-device", "virtio-blk-pci,drive=root"]  # fmt: skip
