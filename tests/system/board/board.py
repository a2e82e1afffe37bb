"""An emulated board: qemu in software, Debian's kernel, the real programs, and a disk whose writes are logged.

Two kinds: this machine's own programs in an initramfs (Kit), and Debian for arm64 with the packages installed (debian_board.py).

Killing qemu alone would lose only what the guest has not written: what it has written and not flushed stands in the host's page
cache. So qemu also logs each write and flush in their order (blklogwrites), and write_log.py makes the disks that a power cut
may have left: with all unflushed writes, with none, or with parts of some.
"""

import contextlib
import pathlib
import platform
import re
import shutil
import subprocess
import threading
import time

from write_log import requests_logged

HERE = pathlib.Path(__file__).parent
MODULES = ["virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk"]
IMAGE_BYTES = 192 << 20
MEMORY_MIB = 256
WATCHDOG_S = 180.0
CONFIGURATION = """[gateway]
name = "board"
queue_dir = "{queue}"
spill_dir = "{spill}"
[[stream]]
name = "board"
topics = ["#"]
sync_interval = "200ms"
segment_bytes = "256KiB"
max_bytes = "128MiB"
"""


def call(*command, **options):
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=WATCHDOG_S, check=False, **options)
    if result.returncode != 0:
        raise OSError(f"{' '.join(map(str, command))}: {result.stderr.strip()[-400:]}")
    return result.stdout


@contextlib.contextmanager
def mounted(image, point):
    point.mkdir(exist_ok=True)
    call("mount", "-o", "loop", image, point)
    try:
        yield point
    finally:
        call("umount", point)


def missing_means(image):
    """Why no board can be emulated here; empty if one can."""
    if image is None and platform.machine() != "x86_64":
        return "emulates an x86_64 board with this machine's own programs: needs an x86_64 machine"
    emulator = ("qemu-system-x86_64", "qemu-system-x86") if image is None else ("qemu-system-aarch64", "qemu-system-arm")
    for program, package in (emulator, ("cpio", "cpio"), ("mkfs.ext4", "e2fsprogs"), ("mount", "mount")):
        if shutil.which(program) is None:
            return f"needs {program} (Debian: {package})"
    return ""


def libraries(program):
    """The files that the dynamic loader wants for it, itself included."""
    return re.findall(r"(/\S+) \(0x", call("ldd", program))


class Kit:
    """Kernel and initramfs: the same for each start."""

    configuration = CONFIGURATION
    spill = "spill"  # its place on the disk
    streams = ["board"]

    def __init__(self, folder, kernel_dir, binaries):
        self.folder = pathlib.Path(folder)
        self.kernel = next(pathlib.Path(kernel_dir).glob("boot/vmlinuz-*"))
        self.modules = next(pathlib.Path(kernel_dir).glob("lib/modules/*/kernel"))
        self.initramfs = self.folder / "initramfs"
        self.root = self.folder / "root"
        for name in ("bin", "dev", "proc", "sys", "run", "disk", "etc", "modules", "tmp"):
            (self.root / name).mkdir(parents=True)
        shutil.copy("/bin/busybox", self.root / "bin")
        for name in ("init", "writer"):
            shutil.copy(HERE / name, self.root / name)
            (self.root / name).chmod(0o755)
        (self.root / "etc/spillway.toml").write_text(CONFIGURATION.format(queue="/run/queue", spill=f"/disk/{self.spill}"))
        (self.root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
        self._add_modules()
        for program in ("spillway-agent", "spillway"):
            self._add_program(pathlib.Path(binaries) / program)
        names = "\n".join(str(path.relative_to(self.root)) for path in sorted(self.root.rglob("*")))
        with open(self.initramfs, "wb") as out:
            subprocess.run(["cpio", "-o", "-H", "newc", "--quiet", "-R", "0:0"], input=names.encode(), stdout=out, cwd=self.root, check=True)

    def command(self, start):
        """qemu for that start, but for the logged disk."""
        return ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", str(MEMORY_MIB), "-kernel", self.kernel,
                "-initrd", self.initramfs, "-append", f"console=ttyS0 quiet loglevel=1 panic=-1 board.boot={start}"]  # fmt: skip

    def _add_modules(self):
        order = []
        for name in MODULES:
            # A kernel may have it built in.
            for path in self.modules.rglob(f"{name}.ko*"):
                shutil.copy(path, self.root / "modules")
                order.append(path.name)
        (self.root / "modules/order").write_text("".join(f"{name}\n" for name in order))

    def _add_program(self, program):
        # Without what only a debugger reads: the board has little memory.
        call("strip", "-o", self.root / "bin" / program.name, program)
        for library in libraries(program):
            target = self.root / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copy(library, target)


def make_image(path):
    with open(path, "wb") as file:
        file.truncate(IMAGE_BYTES)
    call("mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", path)


class Board:
    """One start of the board, until it is killed. What it says on its serial line is read at once, by a thread."""

    def __init__(self, kit, image, log, boot):
        with open(log, "wb"):
            pass
        drive = (f"driver=blklogwrites,node-name=disk,log-sector-size=512,log-super-update-interval=1,"
                 f"file.driver=file,file.filename={image},log.driver=file,log.filename={log}")  # fmt: skip
        command = [*kit.command(boot), "-nodefaults", "-no-reboot", "-display", "none", "-monitor", "none", "-serial", "stdio",
                   "-nic", "none", "-blockdev", drive, "-device", "virtio-blk-pci,drive=disk"]  # fmt: skip
        self.lines = []
        self.log = log
        self.safe_marks = []  # (requests logged, records called power-safe by then)
        self.process = subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, errors="replace")  # fmt: skip
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.strip())
            # A line that was cut off says nothing.
            if match := re.fullmatch(r"SAFE \d+ (\d+)", line.strip()):
                # The log may be further by now than it was when the board said so: never less is demanded than was told.
                self.safe_marks.append((requests_logged(self.log), int(match[1])))

    def said(self, wanted):
        return [line for line in list(self.lines) if line.startswith(wanted)]

    def wait_for(self, wanted, count=1):
        give_up = time.monotonic() + WATCHDOG_S
        while len(self.said(wanted)) < count:
            if self.process.poll() is not None or time.monotonic() > give_up:
                self.kill()
                raise TimeoutError(f"the board did not say {wanted!r}; its last lines:\n" + "\n".join(self.lines[-20:]))
            time.sleep(0.02)

    def kill(self):
        """kill -9: what the board said until now is all that it said."""
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()

    def told_safe(self, requests=None):
        """So many records of this start were called power-safe, at the end or by that request of the log."""
        return max((count for at, count in self.safe_marks if requests is None or at <= requests), default=0)
