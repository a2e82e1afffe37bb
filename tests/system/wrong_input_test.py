"""wrong_input_test.py --bin DIR: wrong input to the real daemons, each by itself and under `spillway run`.

Each wrong thing gives one clear line that says what to do and the exit code that the design gives it, and never a crash
loop: what cannot help itself ends the run with 2, everything else is tried again with a growing pause.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parent / "format_script")]
from harness import Daemon, free_port, wait_until  # noqa: E402
from newer_version import make_newer  # noqa: E402

BIN = None
NOBODY = 65534
WRONG_USE, SYSTEM_FAILED, ANSWER_IS_NO = 2, 3, 1
RESTARTS_WATCHED = 3


def as_nobody():
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


class Site(unittest.TestCase):
    """One configuration for all three daemons, in a folder that an unprivileged user can reach."""

    def setUp(self):
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.root = pathlib.Path(self.folder(None))
        self.queue = pathlib.Path(self.folder(memory)) / "queue"
        self.spill = self.root / "spill"
        self.inbox = self.root / "inbox.db"
        self.port = free_port()
        self.config = self.root / "spillway.toml"
        self.write_config()

    def folder(self, base):
        folder = tempfile.TemporaryDirectory(prefix="spillway-wrong-", dir=base)
        self.addCleanup(folder.cleanup)
        os.chmod(folder.name, 0o755)
        return folder.name

    def write_config(self, extra_stream="", url=None, consumer=True):
        text = f"""[gateway]
name = "test"
queue_dir = "{self.queue}"
spill_dir = "{self.spill}"
[[stream]]
name = "all"
topics = ["#"]
sync_interval = "20ms"
{extra_stream}
[[uplink]]
name = "cloud"
url = "{url or f'ws://127.0.0.1:{self.port}'}"
reconnect_min = "50ms"
reconnect_max = "400ms"
"""
        if consumer:
            text += f'[consumer]\nlisten = "ws://127.0.0.1:{self.port}"\ninbox = "sqlite:{self.inbox}"\n'
        self.config.write_text(text)
        self.config.chmod(0o644)

    def program(self, name, *arguments, text=None, timeout=30, user=None):
        return subprocess.run([BIN / name, *map(str, arguments)], input=text, capture_output=True, text=True, check=False,
                              timeout=timeout, preexec_fn=user)  # fmt: skip

    def put(self, lines, *more, **options):
        text = "".join(f"{line}\n" for line in lines)
        return self.program("spillway", "put", "t", "--queue-dir", self.queue, *more, text=text, **options)

    def start(self, name, *arguments):
        daemon = Daemon(name, [BIN / name, *arguments], self.root).start()
        self.addCleanup(self.end, daemon)
        return daemon

    def start_run(self):
        return self.start("spillway", "run", "--config", self.config)

    def end(self, daemon):
        """SIGTERM first, so that a run takes its children with it."""
        if daemon.alive():
            daemon.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.process.wait(15)
        daemon.kill()

    def log(self, daemon):
        return daemon.log_path.read_text(errors="replace")

    def assert_one_line(self, result, code, *words):
        self.assertEqual(code, result.returncode, result.stderr)
        # Lines of information and warnings may stand before it; the complaint is one line.
        lines = result.stderr.strip().splitlines()
        complaints = [line for line in lines if " info: " not in line and " warning: " not in line]
        self.assertEqual(1, len(complaints), result.stderr)
        for word in words:
            self.assertIn(str(word), complaints[0])

    def assert_run_ends(self, *words, user=None):
        """`spillway run` ends at once with 2 and repeats no daemon's start; the reason stands in one line of it."""
        began = time.monotonic()
        run = self.program("spillway", "run", "--config", self.config, user=user)
        self.assertLess(time.monotonic() - began, 15)
        self.assertEqual(WRONG_USE, run.returncode, run.stderr)
        told = [line for line in run.stderr.splitlines() if all(str(word) in line for word in words)]
        self.assertEqual(1, len(told), run.stderr)

    def assert_growing_pauses(self, run, child, *words):
        """The child is started again with a pause that doubles, its reason is told each time, and the run goes on."""
        pattern = re.compile(re.escape(child) + r" ended with (\d+); starts again in (\d+) ms")

        def restarts():
            return pattern.findall(self.log(run)) or []

        wait_until(lambda: len(restarts()) >= RESTARTS_WATCHED or not run.alive(), f"restarts of {child}", 30)
        self.assertTrue(run.alive(), self.log(run))
        codes, pauses = zip(*((int(code), int(pause)) for code, pause in restarts()[:RESTARTS_WATCHED]))
        self.assertEqual({SYSTEM_FAILED}, set(codes))
        self.assertEqual([250 * 2**i for i in range(RESTARTS_WATCHED)], list(pauses))
        for word in words:
            self.assertIn(str(word), self.log(run))

    def agent_pid(self):
        result = self.program("spillway", "status", "--config", self.config, "--json")
        agent = json.loads(result.stdout).get("agent") if result.returncode == 0 else None
        return agent["pid"] if agent else None

    def rows(self):
        with contextlib.suppress(sqlite3.OperationalError):
            with contextlib.closing(sqlite3.connect(f"file:{self.inbox}?mode=ro", uri=True)) as inbox:
                return inbox.execute("SELECT COUNT(*) FROM record").fetchone()[0]
        return 0

    def wait_rows(self, count):
        wait_until(lambda: self.rows() == count, f"{count} rows in the inbox", 30)


class Configuration(Site):
    def test_an_unknown_key_names_its_line_and_the_nearest_key(self):
        self.write_config('sync_intervall = "1s"')
        for name in ("spillway-agent", "spillway-uplink", "spillway-consumer"):
            self.assert_one_line(self.program(name, "--config", self.config), WRONG_USE, f"{self.config}:9", "sync_interval")
        self.assert_one_line(
            self.program("spillway", "config", "check", self.config), ANSWER_IS_NO, f"{self.config}:9", "sync_interval")
        self.assert_run_ends(f"{self.config}:9", "sync_interval")

    def test_a_file_that_is_no_toml_or_not_there(self):
        self.config.write_bytes(b"\x00\xff[[[ = \n" * 100)
        for name in ("spillway-agent", "spillway-uplink", "spillway-consumer"):
            self.assert_one_line(self.program(name, "--config", self.config), WRONG_USE, self.config)
        self.assert_run_ends(self.config)
        self.config.unlink()
        self.assert_one_line(self.program("spillway-agent", "--config", self.config), WRONG_USE, self.config)
        self.assert_run_ends(self.config)


@unittest.skipUnless(os.geteuid() == 0, "needs root, to become a user who may not read what root owns")
class UnreadableDirectory(Site):
    def setUp(self):
        super().setUp()
        self.closed = self.root / "closed"
        self.closed.mkdir(mode=0o700)
        os.chmod(self.queue.parent, 0o1777)
        os.chmod(self.root, 0o1777)

    def test_the_configuration(self):
        self.config.chmod(0o600)
        for name in ("spillway-agent", "spillway-uplink", "spillway-consumer"):
            result = self.program(name, "--config", self.config, user=as_nobody)
            self.assert_one_line(result, result.returncode, self.config, "ermission")
            self.assertIn(result.returncode, (WRONG_USE, SYSTEM_FAILED))

    def test_the_spill(self):
        self.spill = self.closed / "spill"
        self.write_config()
        self.assert_one_line(
            self.program("spillway-agent", "--config", self.config, user=as_nobody), WRONG_USE, self.spill, "owner and mode")
        self.assert_run_ends(self.spill, "owner and mode", user=as_nobody)

    def test_the_queue(self):
        self.queue = self.closed / "queue"
        self.write_config()
        self.assert_one_line(
            self.program("spillway-agent", "--config", self.config, user=as_nobody), WRONG_USE, self.closed, "owner and mode")
        self.assert_run_ends(self.closed, "owner and mode", user=as_nobody)
        self.assert_one_line(self.put(["1"], user=as_nobody), SYSTEM_FAILED, self.queue)

    def test_the_agents_lock(self):
        """Another user's agent is not said to be dead."""
        self.start("spillway-agent", "--config", self.config)
        wait_until(self.agent_pid, "the agent")
        result = self.program("spillway", "status", "--config", self.config, user=as_nobody)
        self.assert_one_line(result, SYSTEM_FAILED, "cannot tell", "agent.lock", "owner and mode")

    def test_the_cursors(self):
        self.start("spillway-agent", "--config", self.config)
        wait_until(self.agent_pid, "the agent")
        os.chmod(self.spill / "all", 0o700)
        result = self.program("spillway-uplink", "--config", self.config, user=as_nobody)
        self.assertIn(result.returncode, (WRONG_USE, SYSTEM_FAILED))
        self.assert_one_line(result, result.returncode, self.spill, "owner and mode")

    def test_the_inbox(self):
        self.inbox = self.closed / "inbox.db"
        self.write_config()
        result = self.program("spillway-consumer", "--config", self.config, user=as_nobody)
        self.assert_one_line(result, SYSTEM_FAILED, self.inbox, "check that its directory exists and may be written")


class PortInUse(Site):
    def test_is_told_tried_again_with_growing_pauses_and_heals(self):
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", self.port))
            holder.listen()
            self.assert_one_line(self.program("spillway-consumer", "--config", self.config), SYSTEM_FAILED, self.port,
                                 "in use", "[consumer] listen")  # fmt: skip
            run = self.start_run()
            self.assert_growing_pauses(run, "spillway-consumer", "in use")
            # The rest of the run does its work meanwhile.
            self.assertEqual(0, self.put(["1"], "--level", "power-safe").returncode)
        self.wait_rows(1)
        self.assertEqual(0, run.stop())


class NewerSpill(Site):
    def test_is_refused_untouched_by_both_daemons_and_ends_the_run(self):
        agent = self.start("spillway-agent", "--config", self.config)
        wait_until(self.agent_pid, "the agent")
        self.assertEqual(0, self.put(["1"], "--level", "power-safe").returncode)
        self.assertEqual(0, agent.stop())
        segment = max((self.spill / "all").glob("0*.spill"))
        make_newer(segment)
        before = {path: path.read_bytes() for path in (self.spill / "all").glob("*.spill")}
        self.assert_one_line(self.program("spillway-agent", "--config", self.config), WRONG_USE, segment.name, "newer", "install")
        self.assert_one_line(
            self.program("spillway-uplink", "--config", self.config), SYSTEM_FAILED, segment.name, "newer", "install")
        self.assert_run_ends("newer", "spillway-agent:")
        self.assertEqual(before, {path: path.read_bytes() for path in (self.spill / "all").glob("*.spill")})


class Lanes(Site):
    def test_a_lane_of_garbage_is_set_aside_and_nothing_restarts(self):
        run = self.start_run()
        pid = wait_until(self.agent_pid, "the agent")
        for i, garbage in enumerate((b"", b"x" * 20_000, b"SPILLANE" + bytes(30_000), os.urandom(24_576))):
            (self.queue / "lanes" / f"garbage-{i}.lane").write_bytes(garbage)
        wait_until(lambda: len(list((self.queue / "quarantine").iterdir())) == 4, "the quarantine")
        self.assertEqual(0, self.put(["1"], "--level", "power-safe").returncode)
        self.wait_rows(1)
        self.assertEqual(pid, self.agent_pid())
        set_aside = [line for line in self.log(run).splitlines() if "set aside" in line]
        self.assertEqual(4, len(set_aside), self.log(run))
        self.assertNotIn("starts again", self.log(run))

    def test_a_record_over_the_limit_is_one_line_and_the_records_before_it_arrive(self):
        run = self.start_run()
        wait_until(self.agent_pid, "the agent")
        self.assert_one_line(self.put(["small", "x" * 65_537]), ANSWER_IS_NO, "record 2", "65536", "--max-record-bytes")
        self.assertEqual(0, self.put(["y" * 65_000], "--level", "process-safe").returncode)
        self.wait_rows(2)
        self.assertNotIn("starts again", self.log(run))


HANDSHAKE_KEY = re.compile(rb"Sec-WebSocket-Key: *(\S+)", re.IGNORECASE)


def accept_websocket(connection):
    """The server's half of RFC 6455's opening handshake."""
    import base64  # noqa: PLC0415
    import hashlib  # noqa: PLC0415

    request = b""
    while b"\r\n\r\n" not in request:
        part = connection.recv(65536)
        if not part:
            return
        request += part
    key = HANDSHAKE_KEY.search(request).group(1)
    answer = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       b"Sec-WebSocket-Protocol: spillway.v1\r\nSec-WebSocket-Accept: " + answer + b"\r\n\r\n")  # fmt: skip


class RubbishServer:
    """Answers each connection with `rubbish` bytes, after a right handshake or at once, and counts."""

    def __init__(self, rubbish, handshake, port=0):
        self.rubbish, self.handshake = rubbish, handshake
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.times = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.times.append(time.monotonic())
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                if self.handshake:
                    accept_websocket(connection)
                connection.sendall(self.rubbish)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)


def message(payload, opcode=2):
    size = len(payload)
    head = bytes([size]) if size < 126 else bytes([126]) + struct.pack(">H", size)
    return bytes([0x80 | opcode]) + head + payload


RUBBISH = {
    "no HTTP": (b"\x00\xff\r\n\r\n" * 1000, False),
    "an endless header": (b"HTTP/1.1 101 Switching Protocols\r\n" + b"x: y\r\n" * 50_000, False),
    "nothing but a close": (b"", False),
    "a message of random bytes": (message(bytes(range(256)) * 4), True),
    "an empty message": (message(b""), True),
    "text": (message(b"hello", opcode=1), True),
    "a masked frame": (b"\x82\x85" + b"\x01\x02\x03\x04hello", True),
    "a frame of 2^63 bytes": (b"\x82\x7f" + struct.pack(">Q", 1 << 63), True),
    "a frame of 2^40 bytes": (b"\x82\x7f" + struct.pack(">Q", 1 << 40), True),
    "a message never ended": ((b"\x02\x7e" + struct.pack(">H", 60_000) + bytes(60_000)) + (b"\x00\x7e" + struct.pack(">H", 60_000) + bytes(60_000)) * 40, True),
}  # fmt: skip


class ConsumerThatSendsRubbish(Site):
    def test_is_told_once_and_tried_again_with_pauses_while_nothing_restarts(self):
        rubbish_port = free_port()
        self.write_config(url=f"ws://127.0.0.1:{rubbish_port}", consumer=False)
        run = self.start_run()
        wait_until(self.agent_pid, "the agent")
        self.assertEqual(0, self.put(["1"], "--level", "power-safe").returncode)
        for name, (rubbish, handshake) in RUBBISH.items():
            with self.subTest(name):
                before = len(self.log(run))
                server = RubbishServer(rubbish, handshake, rubbish_port)
                wait_until(lambda: len(server.times) >= 4, f"four attempts at {name}", 15)
                server.close()
                pauses = [b - a for a, b in zip(server.times, server.times[1:])]
                self.assertGreater(min(pauses), 0.005, f"{name}: a crowd of attempts {pauses}")
                told = [line for line in self.log(run)[before:].splitlines() if "not connected to" in line]
                self.assertLessEqual(len(told), 4, "\n".join(told))
                self.assertTrue(run.alive(), self.log(run))
        self.assertNotIn("starts again", self.log(run))
        # And when somebody sane listens there, the record arrives.
        self.consumer_config = self.root / "consumer.toml"
        self.consumer_config.write_text(f'[consumer]\nlisten = "ws://127.0.0.1:{rubbish_port}"\ninbox = "sqlite:{self.inbox}"\n')
        self.start("spillway-consumer", "--config", self.consumer_config)
        self.wait_rows(1)


class Unprivileged(Site):
    def test_gateway_and_consumer_need_no_root(self):
        """Queue in /dev/shm, spill and inbox in a folder of the user's own."""
        user = as_nobody if os.geteuid() == 0 else None
        if user:
            for path in (self.root, self.queue.parent):
                os.chown(path, NOBODY, NOBODY)
        run = Daemon("run", [BIN / "spillway", "run", "--config", self.config], self.root)
        with open(run.log_path, "ab") as log:
            run.process = subprocess.Popen(run.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, preexec_fn=user)
        self.addCleanup(self.end, run)
        wait_until(self.agent_pid, "the agent")
        put = self.put(range(1000), "--level", "power-safe", "--json", user=user)
        self.assertEqual(0, put.returncode, put.stderr)
        self.assertEqual(1000, json.loads(put.stdout)["power_safe"])
        self.wait_rows(1000)
        tail = self.program("spillway", "tail", "all", "--config", self.config, "--json", user=user)
        self.assertEqual([str(i) for i in range(1000)], [json.loads(line)["record"]["text"] for line in tail.stdout.splitlines()])
        status = self.program("spillway", "status", "--config", self.config, user=user)
        self.assertEqual(0, status.returncode, status.stdout + status.stderr)
        self.assertEqual(0, run.stop())
        verify = self.program("spillway", "verify", self.spill, "--json", user=user)
        self.assertEqual(0, verify.returncode, verify.stdout + verify.stderr)
        self.assertEqual(1000, json.loads(verify.stdout)["streams"][0]["records"])
        self.assertNotIn("error:", self.log(run))
        if user:
            owners = {path.stat().st_uid for folder in (self.root, self.queue.parent) for path in folder.rglob("*")}
            self.assertLessEqual(owners, {0, NOBODY})
            self.assertEqual({NOBODY}, {path.stat().st_uid for path in self.spill.rglob("*")})


def main():
    global BIN
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    options, rest = parser.parse_known_args()
    # A copy that an unprivileged user can reach, whatever the modes above the build folder.
    with tempfile.TemporaryDirectory(prefix="spillway-bin-") as folder:
        os.chmod(folder, 0o755)
        for name in ("spillway", "spillway-agent", "spillway-uplink", "spillway-consumer"):
            shutil.copy(options.bin / name, folder)
        BIN = pathlib.Path(folder)
        return 0 if unittest.main(argv=[sys.argv[0], *rest], verbosity=2, exit=False).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
