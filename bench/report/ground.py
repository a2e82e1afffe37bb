"""What a subject writes to, and who counts it: a file system of its own on a loop device, or just a folder."""

import contextlib
import os
import pathlib
import shutil
import subprocess

from report.programs import BenchError

IMAGE_BYTES = 128 << 20
BLOCK_BYTES = 4096  # a card's; left alone, a small file system gets smaller ones
SECTOR_BYTES = 512
WAIT_SECONDS = 60


def call(*command):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout.strip()


class Device:
    """An ext4 file system on a loop device: what the block layer was asked to write to it, by whomever."""

    counts = "the block device"

    def __init__(self, folder):
        self.folder = folder
        self.image = folder.with_suffix(".img")
        with open(self.image, "wb") as file:
            file.truncate(IMAGE_BYTES)
        # Or the kernel would go on making the file system while it is measured.
        call("mkfs.ext4", "-q", "-F", "-b", BLOCK_BYTES, "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image)
        folder.mkdir()
        call("mount", "-o", "loop", self.image, folder)
        number = os.stat(folder).st_dev
        self.stat = pathlib.Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat")

    def reading(self, _):
        call("sync", "-f", self.folder)
        fields = [int(field) for field in self.stat.read_text().split()]
        return {"bytes": fields[6] * SECTOR_BYTES, "flushes": fields[15] if len(fields) > 15 else 0}

    def close(self):
        with contextlib.suppress(OSError):
            call("umount", self.folder)
        self.image.unlink(missing_ok=True)


class Folder:
    """Where nothing may be mounted: what the process made dirty, as the kernel counts it for the process."""

    counts = "/proc/PID/io"

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()

    def reading(self, pid):
        for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines():
            if line.startswith("write_bytes:"):
                return {"bytes": int(line.split()[1]), "flushes": 0}
        raise BenchError("the kernel does not count what a process writes")

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)
