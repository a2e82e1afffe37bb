"""A disk of a test's own: a file system in a file, loop-mounted, which can lose power, fail, fill up, and be changed."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import time

NEEDED = ("xfs_io", "mkfs.ext4", "e2fsck", "mount", "umount", "losetup", "findmnt")


def missing_means():
    """Why no disk can be made here; empty if one can."""
    if os.geteuid() != 0:
        return "needs root, to mount a file system of its own"
    for program in NEEDED:
        if shutil.which(program) is None:
            return f"needs {program} (Debian: xfsprogs, e2fsprogs, mount, util-linux)"
    if not os.path.exists("/dev/loop-control"):
        return "needs loop devices"
    return ""


def call(*command):
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, check=False)
    if result.returncode != 0:
        raise OSError(f"{' '.join(map(str, command))}: {result.stderr.strip()}")
    return result.stdout.strip()


class Disk:
    """An ext4 file system in a file; a context of mounts that close() undoes."""

    def __init__(self, image, mount_point, size=96 << 20, mount=True):
        self.image = pathlib.Path(image)
        self.mount_point = pathlib.Path(mount_point)
        self.mounted = False
        with open(self.image, "wb") as file:
            file.truncate(size)
        call("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image)
        self.mount_point.mkdir(exist_ok=True)
        if mount:
            self.mount()

    def mount(self, *options):
        call("mount", "-o", ",".join(("loop", "errors=remount-ro", *options)), self.image, self.mount_point)
        self.mounted = True

    def remount(self, how):
        call("mount", "-o", f"remount,{how}", self.mount_point)

    def lose_power(self):
        """What was not synced is gone, and every call fails from now on."""
        call("xfs_io", "-x", "-c", "shutdown", self.mount_point)

    def meet_an_error(self):
        """The file system finds itself damaged and takes no writes from now on, whoever has files open."""
        device = os.path.basename(call("findmnt", "-no", "SOURCE", self.mount_point))
        pathlib.Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("a test")

    def unmount(self, lazily=False):
        if self.mounted:
            call("umount", *(["-l"] if lazily else []), self.mount_point)
            self.mounted = False

    def in_use(self):
        """Somebody still has files open on it, although it is unmounted."""
        return bool(call("losetup", "-j", self.image))

    def check(self):
        """What a technician does; e2fsck says 1 where it has mended something."""
        subprocess.run(["e2fsck", "-p", str(self.image)], capture_output=True, timeout=60, check=False)

    def close(self):
        """Never fails; unmounts whatever is there, and waits until the kernel has let go of the image."""
        with contextlib.suppress(OSError):
            self.unmount(lazily=True)
        end = time.monotonic() + 10
        with contextlib.suppress(OSError):
            while self.in_use() and time.monotonic() < end:
                time.sleep(0.02)
