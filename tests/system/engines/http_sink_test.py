#!/usr/bin/env python3
"""http_sink_test.py --bin DIR: the uplink into an HTTP server that takes, refuses, throttles, fails and is killed."""

import argparse
import base64
import http.server
import itertools
import json
import pathlib
import ssl
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from engine_tests import main  # noqa: E402
from harness import free_port, wait_until  # noqa: E402
from sink_world import SinkWorld, judge, wait_window_is_full  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "network"))
from certificates import make_certificates  # noqa: E402


class Server:
    """Answers as `answer(lines, request)` says: a status, and more headers."""

    def __init__(self, certificates=None):
        self.port = free_port()
        self.certificates = certificates  # the folder of them; https
        self.lines, self.posts, self.keys = [], 0, []
        self.answer = lambda lines, request: (204, {})
        self.server = None

    @staticmethod
    def lines_of(headers, body):
        """A body of blocks is one: what the request says of them, and their bytes."""
        if headers["Content-Type"] == "application/x-ndjson":
            return [json.loads(line) for line in body.splitlines()]
        said = {name.lower().removeprefix("spillway-"): value for name, value in headers.items() if name.lower().startswith("spillway-")}
        return [{**said, "payload_base64": base64.b64encode(body).decode()}]

    def start(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                lines = outer.lines_of(self.headers, body)
                status, headers = outer.answer(lines, self)
                outer.posts += 1
                if status == 204:
                    outer.lines += lines
                    outer.keys.append(self.headers["Idempotency-Key"])
                text = b"" if status == 204 else b"because I say so"
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        if self.certificates:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificates / "server.pem", self.certificates / "server.key")
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.server.handle_error = lambda *_: None  # a client that was killed
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self):
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def messages(self):
        """As the other oracles have them: headers and payload."""
        for line in self.lines:
            payload = line.pop("payload_base64", None)
            content = base64.b64decode(payload) if payload is not None else json.dumps(line.pop("payload", None)).encode()
            yield {f"spillway-{name}": value for name, value in line.items()}, content


class HttpSink(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="spillway-http-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.server = Server().start()
        self.addCleanup(self.server.stop)

    def world(self, keys="", tables="", scheme="http"):
        world = SinkWorld(ARGUMENTS.bin, f"{scheme}://127.0.0.1:{self.server.port}/ingest/spillway", keys=keys, tables=tables)
        self.addCleanup(world.close)
        return world

    def wait_all(self, world, more=0):
        wait_until(lambda: world.acknowledged() >= world.records_put() + more, "all records to be acknowledged", 60)

    def state(self, world, words):
        wait_until(lambda: words in str(world.uplink_status()), f"'{words}' in the status; {world.uplink.log_tail()}", 30)

    def test_every_record_and_in_order_whatever_is_killed(self):
        world = self.world(tables="[uplink.http]\nbatch_records = 40").start()
        for kills in range(6):
            world.put_some(3)
            if kills % 2:
                world.uplink.kill()
                world.put_some(1)
                world.uplink.start()
            else:
                self.server.stop()
                world.put_some(1)
                self.server.start()
        self.wait_all(world)
        wrong, doubled = judge(self.server.messages(), world.put_lines)
        self.assertEqual([], wrong)
        print(f"{doubled} of {world.records_put()} came twice", flush=True)

    def test_a_record_that_the_server_does_not_take_is_found_in_its_batch_and_the_rest_goes_on(self):
        def answer(lines, _):
            bad = any(b"number 77 " in base64.b64decode(line.get("payload_base64", "")) for line in lines)
            return (422, {}) if bad else (204, {})

        self.server.answer = answer
        world = self.world()
        world.agent.start()
        world.wait_ready()
        world.put("sensor/one", (f"number {n} of all" for n in range(200)))
        world.uplink.start()
        self.wait_all(world)
        dead = world.command("dead", "list", "--uplink", "cloud", "--config", world.gateway_config)
        self.assertIn("answered 422: because I say so", dead.stdout)
        records = [line for line in self.server.lines if line["kind"] == "record"]
        self.assertEqual(199, len(records))
        self.assertEqual(199, len({line["offset"] for line in records}))

    def test_a_server_that_does_not_answer_holds_no_more_than_the_window_and_loses_nothing(self):
        released = threading.Event()
        self.addCleanup(released.set)
        self.server.answer = lambda _lines, _request: (204, {}) if released.wait(60) else (500, {})
        world = self.world(keys="window_messages = 50", tables="[uplink.http]\nbatch_records = 20").start()
        world.put_some(2)
        wait_window_is_full(world, 50)
        released.set()
        self.wait_all(world)
        self.assertEqual(([], 0), judge(self.server.messages(), world.put_lines))

    def test_a_certificate_of_another_authority_is_named_and_the_right_one_is_taken(self):
        (other := self.folder / "other").mkdir()
        for folder in (self.folder, other):
            make_certificates(folder, "127.0.0.1")
        (ca := self.folder / "trusted.pem").write_bytes((other / "ca.pem").read_bytes())
        self.server.stop()
        self.server = Server(self.folder).start()
        self.addCleanup(self.server.stop)
        world = self.world(tables=f'[uplink.tls]\nca = "{ca}"', scheme="https").start()
        world.put_some(1)
        self.state(world, "certificate")
        ca.write_bytes((self.folder / "ca.pem").read_bytes())
        self.wait_all(world)
        self.assertEqual(([], 0), judge(self.server.messages(), world.put_lines))

    def test_retry_after_is_honoured(self):
        asked, told = [], threading.Event()

        def answer(_lines, _request):
            if told.is_set():
                return (204, {})
            asked.append(time.monotonic())
            return (429, {"Retry-After": "2"})

        self.server.answer = answer
        world = self.world().start()
        world.put_some(1)
        wait_until(lambda: len(asked) > 1, "another try")
        self.state(world, "the next try comes in 2 s")
        told.set()
        self.wait_all(world)
        self.assertGreater(min(later - earlier for earlier, later in itertools.pairwise(asked)), 1.9)
        self.assertEqual(([], 0), judge(self.server.messages(), world.put_lines))

    def test_what_is_no_records_fault_is_told_and_tried_again(self):
        world = self.world().start()
        for status, words in ((500, "answered 500"), (403, "password_file"), (404, "check the url")):
            self.server.answer = lambda _lines, _request, status=status: (status, {})
            world.put_some(1)
            self.state(world, words)
        self.server.answer = lambda _lines, _request: (204, {})
        self.wait_all(world)
        self.assertEqual(([], 0), judge(self.server.messages(), world.put_lines))

    def test_blocks_go_as_they_stand_in_the_spill_and_a_refused_one_stops_nobody(self):
        def answer(lines, _):
            bad = any(b"number 77 " in base64.b64decode(line["payload_base64"]) for line in lines if line["kind"] == "blocks")
            return (413, {}) if bad else (204, {})

        self.server.answer = answer
        world = self.world(keys='payload = "blocks"').start()
        for first in range(0, 300, 20):
            world.put("sensor/one", (f"number {n} of all" for n in range(first, first + 20)))
        self.wait_all(world)
        refused = sum("answered 413" in line for line in world.command("dead", "list", "--uplink", "cloud", "--config", world.gateway_config)
                      .stdout.splitlines())  # fmt: skip
        blocks = [line for line in self.server.lines if line["kind"] == "blocks"]
        self.assertEqual([], [line for line in self.server.lines if line["kind"] == "record"])
        self.assertEqual({"sensor/one"}, {line["topic"] for line in blocks})
        self.assertGreaterEqual(refused, 20)
        seen = sorted(offset for line in blocks for offset in range(int(line["offset"]), int(line["next-offset"])))
        self.assertEqual(len(seen), len(set(seen)))
        self.assertEqual(300, len(seen) + refused)
        content = b"".join(base64.b64decode(line["payload_base64"]) for line in blocks)
        self.assertEqual(300 - refused, sum(f"number {n} of all".encode() in content for n in range(300)))

    def test_json_and_a_token(self):
        token = self.folder / "token"
        token.write_text("sesame\n")
        self.server.answer = lambda _lines, request: (204 if request.headers["Authorization"] == "Bearer sesame" else 401, {})
        world = self.world(keys=f'payload = "json"\npassword_file = "{token}"').start()
        world.put("sensor/one", ["a line", 'another "line"'])
        self.wait_all(world)
        texts = [line["payload"] for line in self.server.lines if line["kind"] == "record"]
        self.assertEqual(["a line", 'another "line"'], [next(iter(text.values())) for text in texts])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    main("HTTP", rest)
