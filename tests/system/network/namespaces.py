"""Two network namespaces with a bad link between them, for tests that need a real kernel on both ends.

    if reason := namespaces.missing_means(): skip
    namespaces.enter()                        # first thing in main(): from here on all is this test's own
    with namespaces.Network(FORWARDER, seed) as net:
        net.near.command("spillway-uplink", ...)   # what to start so that it runs in the near namespace
        net.set("both", delay_ms=300, loss=0.3)    # forwarder.cc lists the settings
        net.near.link_down(); net.near.link_up()
        net.clear()

enter() starts the test anew as the first process of a PID, mount and network namespace, with its files in memory: when it ends,
however it does, the kernel ends all that it started and takes down all namespaces, devices, mounts and files. Nothing is left
behind on the machine.
"""

import concurrent.futures
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading

SHARED_MEMORY = "/dev/shm"
RESOLV_CONF = "/etc/resolv.conf"
ENTERED = "SPILLWAY_NETWORK_TEST_ENTERED"
UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
CLONE_NEWNET = 0x40000000
# Addresses that documentation may use and nobody else (RFC 5737).
NEAR, FAR = "192.0.2.1", "198.51.100.1"
DEVICE = "link0"
MTU = 1500


def missing_means():
    """Why namespaces cannot be had here; nothing if they can."""
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    for tool in ("unshare", "nsenter", "ip"):
        if shutil.which(tool) is None:
            return f"there is no {tool} (Debian: util-linux, iproute2)"
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        return f"no TUN devices: {error}"
    probe = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    return None if probe.returncode == 0 else f"namespaces are not allowed here: {probe.stderr.strip()}"


def enter():
    """Goes on in namespaces of its own; returns in the new process only."""
    if os.environ.get(ENTERED):
        # `unshare` ends with its parent, and takes this process, the namespace's first, and so all others with it.
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        own_files()
        own_resolver()
        return
    os.environ[ENTERED] = "1"
    os.execvp(UNSHARE[0], [*UNSHARE, sys.executable, *sys.argv])


def own_files():
    """Temporary files, and the queues in shared memory, go with the mount namespace; a busy disk does not slow the test down."""
    subprocess.run(["mount", "-t", "tmpfs", "network-test", SHARED_MEMORY], check=True)
    tempfile.tempdir = os.environ["TMPDIR"] = SHARED_MEMORY


def own_resolver():
    """Names are asked of a server at 127.0.0.53, which each namespace may have or not (impostors.NameServer)."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as text:
        text.write("nameserver 127.0.0.53\noptions timeout:2 attempts:2\n")
        text.flush()
        if os.path.exists(RESOLV_CONF):
            subprocess.run(["mount", "--bind", text.name, RESOLV_CONF], check=True)


class Namespace:
    """One network namespace; it lives as long as this object or a process in it."""

    def __init__(self, address, peer):
        self.address, self.peer = address, peer
        self.fd = -1
        maker = threading.Thread(target=self._make)
        maker.start()
        maker.join()
        if self.fd < 0:
            raise OSError(f"cannot make a network namespace for {address}")
        self.run("ip", "link", "set", "lo", "up")

    def _make(self):
        """In a thread of its own, for it is the thread that moves."""
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) == 0:
            self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    @property
    def path(self):
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def command(self, *command):
        """The command in this namespace; it keeps the process id that it is started with."""
        return ["nsenter", f"--net={self.path}", "--", *map(str, command)]

    def inside(self, function, *arguments):
        """The function's value, called in this namespace: a socket that it makes belongs here for good."""
        with concurrent.futures.ThreadPoolExecutor(1) as thread:  # it is the thread that moves
            return thread.submit(self._call_inside, function, arguments).result()

    def _call_inside(self, function, arguments):
        if ctypes.CDLL(None, use_errno=True).setns(self.fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter the namespace of {self.address}")
        return function(*arguments)

    def run(self, *command):
        done = subprocess.run(self.command(*command), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise OSError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
        return done.stdout

    def congestion_control(self, *names):
        """TCP here uses the first of these algorithms that the kernel has; returns its name."""

        def choose():
            setting = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control")  # shows the namespace of who opens it
            for name in names:
                with contextlib.suppress(OSError):
                    setting.write_text(name)
                    return name
            return setting.read_text().strip()

        return self.inside(choose)

    def set_up_device(self):
        self.run("ip", "address", "replace", f"{self.address}/32", "dev", DEVICE)
        self.run("ip", "link", "set", DEVICE, "mtu", MTU)
        self.link_up()

    def link_up(self):
        self.run("ip", "link", "set", DEVICE, "up")
        self.run("ip", "route", "replace", "default", "dev", DEVICE, "src", self.address)

    def link_down(self):
        """As if the cable was pulled: the kernel drops the routes over it, and tells by netlink."""
        self.run("ip", "link", "set", DEVICE, "down")

    def change_address(self, address):
        """The old address is gone; what was connected from it hears nothing any more."""
        old, self.address = self.address, address
        self.run("ip", "address", "add", f"{address}/32", "dev", DEVICE)
        self.run("ip", "route", "replace", "default", "dev", DEVICE, "src", address)
        self.run("ip", "address", "del", f"{old}/32", "dev", DEVICE)

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


class Network:
    """near --- forwarder --- far. A perfect link at first."""

    def __init__(self, forwarder, seed=1):
        self.seed = seed
        self.lock = threading.Lock()
        self.near, self.far = Namespace(NEAR, FAR), Namespace(FAR, NEAR)
        self.process = subprocess.Popen([str(forwarder), self.near.path, DEVICE, self.far.path, DEVICE, str(seed)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
        if self.process.stdout.readline().strip() != "ready":
            raise OSError("the forwarder did not start: see its line above")
        self.near.set_up_device()
        self.far.set_up_device()

    def tell(self, line):
        """Hands the forwarder one command and returns its answer."""
        with self.lock:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline().strip()
        if not answer or answer.startswith("wrong"):
            raise ValueError(f"the forwarder's answer to '{line}': '{answer}'")
        return answer

    def set(self, which="both", **settings):
        return self.tell(" ".join(["set", which, *(f"{key}={float(value):.6f}" for key, value in settings.items())]))

    def clear(self):
        return self.tell("clear")

    def forget(self):
        return self.tell("forget")

    def stats(self):
        return json.loads(self.tell("stats"))

    def close(self):
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.close()
            self.process.wait(5)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.near.close()
        self.far.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
