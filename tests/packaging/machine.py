"""A Debian of its own in a folder: installed by mmdebstrap from this machine's sources, then either used as a chroot, which has the
network and so apt, or booted by systemd-nspawn, with systemd as its process 1, a network of its own, and nobody else's processes.

As root. Systems are kept as archives in the cache: making one takes a minute.
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
from harness import wait_until  # noqa: E402

TOOLCHAINS = pathlib.Path(__file__).resolve().parents[2] / "toolchains"
HOST_SUITE = "bookworm"
BASE = ["systemd", "systemd-sysv", "procps", "sqlite3"]
BOOT_S = 120


class Failed(Exception):
    pass


def base_archive(suite, packages):
    """The suite's system with these packages, made if the cache has none."""
    cache = pathlib.Path(os.environ.get("SPILLWAY_CACHE", pathlib.Path.home() / ".cache/spillway"))
    cache.mkdir(parents=True, exist_ok=True)
    archive = cache / f"machine-{suite}-{'build' if 'g++' in packages else 'base'}.tar"
    wanted = " ".join([suite, *packages])
    note = archive.with_suffix(".wanted")
    if archive.exists() and note.exists() and note.read_text() == wanted:
        return archive
    sources = archive.with_suffix(".list")
    with open(sources, "w", encoding="utf-8") as file:
        subprocess.run([TOOLCHAINS / "apt_sources.sh", HOST_SUITE, suite], stdout=file, check=True)
    partial = archive.with_suffix(".partial.tar")
    subprocess.run(["mmdebstrap", "--quiet", "--variant=apt", f"--include={','.join(packages)}", "--aptopt=Acquire::Languages \"none\"",
                    suite, partial, sources], check=True)  # fmt: skip
    partial.rename(archive)
    note.write_text(wanted)
    return archive


class Machine:
    def __init__(self, suite, folder, packages=()):
        self.root = pathlib.Path(folder) / suite
        self.root.mkdir(parents=True)
        subprocess.run(["tar", "-xf", base_archive(suite, [*BASE, *packages]), "-C", self.root], check=True)
        shutil.copy("/etc/resolv.conf", self.root / "etc/resolv.conf")
        self.container = None
        self.leader = None

    def run(self, *command, check=True, **options):
        """The command's output (both streams) and exit code: in the booted system, else in the chroot."""
        inside = ["nsenter", "--all", "-t", str(self.leader), "--"] if self.leader else ["chroot", self.root]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "HOME": "/"}
        ended = subprocess.run([*inside, *(str(part) for part in command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env=environment, timeout=1800, **options)  # fmt: skip
        if check and ended.returncode != 0:
            raise Failed(f"{command} ended with {ended.returncode}\n{ended.stdout}")
        return ended.stdout if check else (ended.returncode, ended.stdout)

    def shell(self, text, **options):
        return self.run("sh", "-c", text, **options)

    @contextlib.contextmanager
    def mounted(self):
        """A chroot with what programs expect of a system."""
        mounts = [("-t", "proc", "proc", "proc"), ("--bind", "/dev", "dev")]
        for *how, place in mounts:
            subprocess.run(["mount", *how, self.root / place], check=True)
        try:
            yield self
        finally:
            for *_, place in reversed(mounts):
                subprocess.run(["umount", "--lazy", self.root / place], check=True)

    @contextlib.contextmanager
    def booted(self):
        """systemd runs in it; on the way out it is powered off."""
        log = open(self.root.parent / f"{self.root.name}.boot", "wb")
        self.container = subprocess.Popen(
            ["systemd-nspawn", "--quiet", f"--directory={self.root}", "--boot", "--register=no", "--keep-unit", "--private-network",
             "--resolv-conf=off", "--kill-signal=SIGRTMIN+4", "systemd.unit=multi-user.target"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(os.environ, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="1"))  # fmt: skip
        try:
            wait_until(self.find_leader, "the container's first process", BOOT_S)
            wait_until(self.is_up, f"systemd in the container (see {log.name})", BOOT_S)
            yield self
        finally:
            self.leader = None
            self.container.terminate()
            try:
                self.container.wait(60)
            except subprocess.TimeoutExpired:
                self.container.kill()
                self.container.wait()
            log.close()

    def find_leader(self):
        # systemd-nspawn's child is a go-between, whose child is the system's init.
        if self.container.poll() is not None:
            raise Failed(f"systemd-nspawn ended with {self.container.returncode}: see {self.root}.boot")
        children = pathlib.Path(f"/proc/{self.container.pid}/task/{self.container.pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{child}/comm").read_text().strip() in ("systemd", "init"):
                    self.leader = int(child)
        return self.leader

    def is_up(self):
        _, said = self.run("systemctl", "is-system-running", check=False)
        return said.strip().splitlines()[-1:] in (["running"], ["degraded"])
