"""A real RabbitMQ from Debian's package, in a folder of its own, on loopback: started, killed and asked by the tests.

Nothing of it outlives the test, and no other RabbitMQ of the machine is touched: node name, ports, data, logs, plugins and
the Erlang port mapper are its own. Ready about 10 s after start() on an idle machine.
"""

import atexit
import contextlib
import os
import pathlib
import secrets
import signal
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from harness import WATCHDOG_S, free_port, wait_until  # noqa: E402

PROGRAMS = pathlib.Path("/usr/lib/rabbitmq/bin")
START_WATCHDOG_S = 3 * WATCHDOG_S


class RabbitmqServer:
    """One broker. `tls`: {"ca": path, "certificate": path, "key": path} opens `tls_port`, too; `settings`: further lines of
    its configuration."""

    def __init__(self, folder, tls=None, settings=()):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.tls_port = free_port() if tls else None
        # Its own name: two brokers of one name on one machine would look for each other.
        self.node = f"spillway-{secrets.token_hex(4)}@localhost"
        self.process = None
        self._epmd = None
        self._environment = self._make_environment()
        self._write_configuration(tls, settings)
        atexit.register(self.close)  # also of a suite that is interrupted

    def _make_environment(self):
        at = lambda name: str(self.folder / name)  # noqa: E731
        return {
            **os.environ,
            "HOME": str(self.folder),  # the Erlang cookie
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_USE_LONGNAME": "false",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": at("data"),
            "RABBITMQ_LOG_BASE": at("log"),
            "RABBITMQ_CONFIG_FILE": at("rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": at("advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": at("rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": at("enabled_plugins"),
            "RABBITMQ_PID_FILE": at("pid"),
            # Loopback only, and no busy waiting: the machine has other work.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none"
            " -kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CTL_ERL_ARGS": "+sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
            "LC_ALL": "C.UTF-8",
        }

    def _write_configuration(self, tls, settings):
        lines = [
            f"listeners.tcp.1 = 127.0.0.1:{self.port}",
            "log.console = false",
            "log.file.level = info",
            # A test's disk may be nearly full, which is none of its business.
            "disk_free_limit.absolute = 16MB",
            "heartbeat = 5",
            *settings,
        ]
        if tls:
            lines += [
                f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}",
                f"ssl_options.cacertfile = {tls['ca']}",
                f"ssl_options.certfile = {tls['certificate']}",
                f"ssl_options.keyfile = {tls['key']}",
                "ssl_options.verify = verify_none",
                "ssl_options.fail_if_no_peer_cert = false",
            ]
        (self.folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        (self.folder / "enabled_plugins").write_text("[].\n")
        (self.folder / "rabbitmq-env.conf").write_text("")

    # --- its life ---

    def start(self, wait=True):
        if self._epmd is None:
            port = self._environment["ERL_EPMD_PORT"]
            self._epmd = subprocess.Popen(["epmd", "-port", port, "-address", "127.0.0.1"], stdin=subprocess.DEVNULL,
                                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        with open(self.folder / "output.log", "ab") as log:
            # A group of its own: the script starts the machine that runs the broker, and both have to go.
            self.process = subprocess.Popen([PROGRAMS / "rabbitmq-server"], env=self._environment, stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        """Until the listener answers: that is the last thing that a starting broker opens."""
        wait_until(lambda: self.answers() or self._ended(), f"RabbitMQ on port {self.port}: see {self.folder}", START_WATCHDOG_S, 0.1)
        if not self.answers():
            raise RuntimeError(f"RabbitMQ ended at its start:\n{self.output()}")

    def answers(self):
        """True if it greets a client that says 'AMQP'."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as probe:
            probe.sendall(b"AMQP\x00\x00\x09\x01")
            return probe.recv(1) == b"\x01"
        return False

    def _ended(self):
        return self.process.poll() is not None

    def alive(self):
        return self.process is not None and not self._ended()

    def kill(self):
        """kill -9 of everything that start() started, but for the port mapper."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not self._listens(), f"port {self.port} to be free")

    def _listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def freeze(self, frozen=True):
        """Stops or wakes the broker without a word to its clients, as a machine does that swaps or hangs."""
        os.killpg(self.process.pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def restart(self):
        self.kill()
        return self.start()

    def close(self):
        """Kills it for good."""
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def output(self, lines=20):
        with contextlib.suppress(OSError):
            return "\n".join((self.folder / "output.log").read_text(errors="replace").splitlines()[-lines:])
        return ""

    # --- what a person would do ---

    def ctl(self, *arguments, check=True):
        """`rabbitmqctl ARGUMENTS`; about 1.5 s each: tests use as few as they can."""
        result = subprocess.run([PROGRAMS / "rabbitmqctl", "-n", self.node, *map(str, arguments)], env=self._environment,
                                capture_output=True, text=True, timeout=START_WATCHDOG_S, check=False)  # fmt: skip
        if check and result.returncode != 0:
            raise RuntimeError(f"rabbitmqctl {' '.join(map(str, arguments))}: {result.stdout}{result.stderr}")
        return result.stdout

    def has_written_down(self, queue):
        """True once the disk says that there is this quorum queue: killed before, it comes back without a leader."""
        files = (self.folder / "data").glob("*/quorum/*/names.dets")
        return any(f"_{queue}".encode() in path.read_bytes() for path in files)

    def add_user(self, name, password, configure=".*", write=".*", read=".*"):
        self.ctl("add_user", name, password)
        self.ctl("set_permissions", name, configure, write, read)

    def url(self, user="guest", password="guest", scheme="amqp"):
        port = self.tls_port if scheme == "amqps" else self.port
        return f"{scheme}://{user}:{password}@127.0.0.1:{port}"


def main():
    """rabbitmq_server.py FOLDER: starts one, prints 'ready HOST:PORT', and ends it at SIGTERM or SIGINT."""
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with RabbitmqServer(sys.argv[1]) as server:
        server.start()
        print(f"ready 127.0.0.1:{server.port}", flush=True)
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
