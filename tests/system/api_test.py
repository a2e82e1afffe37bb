"""api_test.py --bin DIR: the HTTP API with a real agent: curl on each of its doors, hostile peers, and kill -9 of both."""

import argparse
import collections
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import Daemon, free_port, wait_until  # noqa: E402

ARGUMENTS = None
TOKEN = "0123456789abcdef0123456789abcdef"
SCHEMA = "table Reading { client:int; number:int; text:string; } root_type Reading;"
TOPIC = "sensor/boiler"
RECORDS = f"/v1/topics/{TOPIC}/records"
KILL_SECONDS = 5


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=20):
        super().__init__("gateway", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class ApiWorld:
    def __init__(self, binaries, keys=""):
        self.binaries = pathlib.Path(binaries).resolve()
        self._folder = tempfile.TemporaryDirectory(prefix="spillway-api-")
        self.root = pathlib.Path(self._folder.name)
        self.socket = self.root / "api.sock"
        self.queue = self.root / "queue"
        self.tokens = self.root / "tokens"
        self.tokens.write_text(f"# the boilers'\n{TOKEN} sensor/# +schema\n")
        self.tokens.chmod(0o600)
        self.config = self.root / "spillway.toml"
        self.config.write_text(
            f'[gateway]\nname = "test"\nqueue_dir = "{self.queue}"\nspill_dir = "{self.root / "spill"}"\n'
            f'[[stream]]\nname = "all"\ntopics = ["#"]\nsync_interval = "200ms"\n'
            f'[api]\nsocket = "{self.socket}"\nschema_dir = "{self.root / "schemas"}"\n{keys.replace("TOKENS", str(self.tokens))}\n')
        self.agent = self.daemon("agent", "spillway-agent")
        self.api = self.daemon("api", "spillway-api")

    def daemon(self, name, program):
        return Daemon(name, [self.binaries / program, "--config", self.config], self.root)

    def start(self):
        self.agent.start()
        wait_until(lambda: (self.queue / "lanes").is_dir(), "the queue directory")
        self.start_api()
        return self

    def start_api(self):
        self.api.start()
        wait_until(lambda: self.try_ask("GET", "/v1/status") or not self.api.alive(), f"the API: {self.api.log_tail()}")

    def ask(self, method, path, body=None, headers=None, timeout=20):
        """(status, answer, headers) over a connection of its own."""
        connection = UnixConnection(self.socket, timeout)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {TOKEN}", **(headers or {})})
            response = connection.getresponse()
            text = response.read()
            is_json = response.headers["Content-Type"] == "application/json"
            return response.status, json.loads(text) if is_json else text, response.headers
        finally:
            connection.close()

    def try_ask(self, *arguments, **options):
        try:
            return self.ask(*arguments, **options)
        except (OSError, http.client.HTTPException, json.JSONDecodeError):
            return None

    def put_schema(self):
        status, answer, _ = self.ask("PUT", f"/v1/schemas/{TOPIC}", SCHEMA)
        assert status in (200, 201), answer

    def post(self, records, level="accepted", **headers):
        return self.ask("POST", f"{RECORDS}?level={level}", json.dumps(records),
                        {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}})

    def command(self, *arguments):
        return subprocess.run([self.binaries / "spillway", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)

    def records(self):
        tail = self.command("tail", "all", "--config", self.config, "--json")
        return [json.loads(line)["record"] for line in tail.stdout.splitlines()]

    def close(self):
        for daemon in (self.api, self.agent):
            if daemon.process is not None:
                if daemon.alive():
                    os.kill(daemon.process.pid, signal.SIGCONT)
                daemon.kill()
        self._folder.cleanup()


class Api(unittest.TestCase):
    def open_world(self, keys=""):
        self.world = ApiWorld(ARGUMENTS.bin, keys)
        self.addCleanup(self.world.close)
        return self.world

    @unittest.skipUnless(shutil.which("curl"), "needs curl")
    def test_curl_on_each_door(self):
        plain, secure = free_port(), free_port()
        world = self.open_world(f'listen = "http://127.0.0.1:{plain}"\ntoken_file = "TOKENS"\n').start()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                        "-keyout", world.root / "key.pem", "-out", world.root / "cert.pem"], check=True, capture_output=True)  # fmt: skip
        other = world.root / "secure.toml"
        other.write_text(world.config.read_text().replace(f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{secure}")
                         .replace("api.sock", "secure.sock")
                         + f'[api.tls]\ncertificate = "{world.root}/cert.pem"\nkey = "{world.root}/key.pem"\n')  # fmt: skip
        second = Daemon("secure", [world.binaries / "spillway-api", "--config", other], world.root).start()
        self.addCleanup(second.kill)
        wait_until(lambda: (world.root / "secure.sock").exists(), f"the secure API {second.log_tail()}")
        world.put_schema()
        # The second API has its schemas in the same directory, as they were when it started: it learns them by a PUT.
        doors = [(["--unix-socket", str(world.socket)], "http://gateway"), ([], f"http://127.0.0.1:{plain}"),
                 (["--cacert", str(world.root / "cert.pem")], f"https://127.0.0.1:{secure}")]  # fmt: skip
        for number, (options, url) in enumerate(doors):
            base = ["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "20", *options,
                    "-H", f"Authorization: Bearer {TOKEN}"]  # fmt: skip
            subprocess.run([*base, "-X", "PUT", "--data-binary", SCHEMA, f"{url}/v1/schemas/{TOPIC}"], check=True, capture_output=True)
            answer = subprocess.run([*base, "-H", "Content-Type: application/json", "-d", json.dumps([{"client": number, "text": "by curl"}]),
                                     f"{url}{RECORDS}?level=power-safe"], capture_output=True, text=True, check=False)  # fmt: skip
            self.assertEqual(0, answer.returncode, answer.stdout + answer.stderr)
            self.assertEqual((1, "power-safe"), (json.loads(answer.stdout)["accepted"], json.loads(answer.stdout)["level"]))
            without = subprocess.run([*base[:-2], "-d", "{}", f"{url}{RECORDS}"], capture_output=True, text=True, check=False)
            self.assertIn("bearer token", without.stdout)
        self.assertEqual([0, 1, 2], [record["client"] for record in world.records()])
        text = world.command("status", "--config", world.config).stdout
        self.assertRegex(text, r"api +serving")
        self.assertEqual(0, world.api.stop())
        self.assertFalse(world.socket.exists())

    def test_a_full_lane_is_said_and_the_batch_may_come_again(self):
        world = self.open_world('lane_bytes = "64KiB"\nmax_record_bytes = "16KiB"\n').start()
        world.put_schema()
        os.kill(world.agent.process.pid, signal.SIGSTOP)
        batch = [{"client": 1, "number": n, "text": "x" * 500} for n in range(20)]
        accepted = 0
        while True:
            status, answer, headers = world.post(batch, Idempotency_Key=f"k{accepted}")
            if status != 200:
                break
            accepted += 1
            self.assertLess(accepted, 100)
        self.assertEqual((429, 0), (status, answer["accepted"]))
        self.assertGreaterEqual(int(headers["Retry-After"]), 1)
        self.assertGreater(accepted, 2)
        os.kill(world.agent.process.pid, signal.SIGCONT)
        wait_until(lambda: world.post(batch, "process-safe", Idempotency_Key=f"k{accepted}")[0] == 200, "room")
        self.assertEqual(200, world.post(batch, "process-safe", Idempotency_Key=f"k{accepted}")[0])
        self.assertEqual((accepted + 1) * 20, len(world.records()))

    def test_hostile_peers_are_answered_or_cut_off(self):
        world = self.open_world('header_timeout = "1s"\nbody_timeout = "1s"\nidle_timeout = "2s"\nconnections_max = 20\n'
                                'body_bytes_max = "64KiB"\nbodies_bytes_max = "256KiB"\n').start()  # fmt: skip
        world.put_schema()
        head = f"POST {RECORDS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode()
        for what, status in ((b"\x16\x03\x01garbage\r\n\r\n", 400), (b"GET / HTTP/9.9\r\n\r\n", 400),
                             (b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", 431),
                             (head + b"Content-Length: 99999999999\r\n\r\n", 413),
                             (head + b"Content-Length: -5\r\n\r\n{}", 400),
                             (head + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", 400),
                             (head + b"Transfer-Encoding: chunked\r\n\r\n" + (b"4000\r\n" + b"[" * 0x4000 + b"\r\n") * 8, 413),
                             (head + b"Content-Length: 60000\r\n\r\n" + b"[" * 60_000, 422),
                             (head + b"Content-Length: 60000\r\n\r\n" + b'{"text":' * 7_500, 422)):  # fmt: skip
            self.assertEqual(status, self.raw(what), what[:60])
        # Slow ones hold their connections for a second, a whole crowd of them all.
        crowd = [self.connect() for _ in range(20)]
        for number, peer in enumerate(crowd):
            peer.sendall((b"P", head, head + b"Content-Length: 10\r\n\r\n[")[number % 3])
        for peer in crowd:
            peer.settimeout(20)
            wait_until(lambda peer=peer: self.is_over(peer), "a slow peer to be cut off")
            peer.close()
        self.assertEqual(200, world.post([{"client": 1}], "process-safe")[0])
        self.assertEqual(1, len(world.records()))
        self.assertTrue(world.api.alive())

    def connect(self):
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(20)
        peer.connect(str(self.world.socket))
        return peer

    @staticmethod
    def is_over(peer):
        try:
            return peer.recv(65536) == b""
        except ConnectionResetError:
            return True

    def raw(self, request):
        with self.connect() as peer:
            try:
                peer.sendall(request)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has seen enough
            answer = b""
            while b"\r\n" not in answer:
                piece = peer.recv(65536)
                if not piece:
                    return None
                answer += piece
            return int(answer.split(b" ")[1])

    def test_nothing_acknowledged_is_lost_when_both_are_killed(self):
        seed = random.randrange(1 << 32)
        print("seed", seed)
        chance = random.Random(seed)
        world = self.open_world().start()
        world.put_schema()
        over = threading.Event()
        acknowledged = [[] for _ in range(4)]
        tries = collections.Counter()

        def client(index):
            number = 0
            while not over.is_set():
                batch = [{"client": index, "number": n} for n in range(number, number + 10)]
                # Until it is acknowledged, always with the same key.
                while not over.is_set():
                    tries[index, number] += 1
                    answer = world.try_ask("POST", f"{RECORDS}?level=process-safe", json.dumps(batch), timeout=5,
                                           headers={"Content-Type": "application/json", "Idempotency-Key": f"{index}-{number}"})
                    if answer and answer[0] == 200:
                        acknowledged[index] += range(number, number + 10)
                        break
                    time.sleep(0.02)  # not to wait for something: a client that tries again
                number += 10

        threads = [threading.Thread(target=client, args=(index,)) for index in range(4)]
        for thread in threads:
            thread.start()
        kills = 0
        end = time.monotonic() + KILL_SECONDS
        while time.monotonic() < end:
            before = sum(map(len, acknowledged))
            wait_until(lambda before=before: sum(map(len, acknowledged)) >= before + 40, "acknowledgements", 60)
            victim = chance.choice((world.api, world.agent))
            victim.kill()
            kills += 1
            world.start_api() if victim is world.api else victim.start()
        over.set()
        for thread in threads:
            thread.join()
        self.assertGreater(kills, 2)
        status, _, _ = world.post([{"client": 99}], "process-safe")
        self.assertEqual(200, status)
        found = collections.Counter((record["client"], record["number"]) for record in world.records() if record["client"] != 99)
        lost = [(index, n) for index in range(4) for n in acknowledged[index] if not found[index, n]]
        self.assertEqual([], lost)
        doubled = {(c, n - n % 10) for (c, n), count in found.items() if count > 1}
        for client_index, number in doubled:
            self.assertGreater(tries[client_index, number], 1, "doubled, though it was sent once")
        print(f"{kills} kills, {sum(map(len, acknowledged))} acknowledged, none lost; {len(doubled)} batches came again after a kill")


def main():
    global ARGUMENTS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
