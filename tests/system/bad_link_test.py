"""bad_link_test.py --bin DIR [--half-open]: a link that dribbles, swallows every answer, or stands half-open.

The relay between the real uplink and the real consumer misbehaves; nothing may be lost or doubled, the uplink never sends
more than its window without an answer, and its memory stays bounded. --half-open also waits until the uplink notices by
itself that nobody is there any more (about half a minute).
"""

import argparse
import contextlib
import pathlib
import select
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from check_delivery import broken_promises, check  # noqa: E402
from harness import World, wait_until  # noqa: E402

ARGUMENTS = None
WINDOW_BYTES = 256 << 10
FIRST_BYTES = 8 << 10  # much more is not sent to a far end that answers nothing: its rate is not known
MESSAGE_BYTES_MAX = 320 << 10  # one message is always allowed
IDLE_TIMEOUT_S = 30
MEMORY_KIB_MAX = 64 << 10


class BadRelay:
    """Forwards in pieces of `piece` bytes; swallows what comes back once more than `answered_bytes` have gone out."""

    def __init__(self, listen_port, target_port):
        self.target_port = target_port
        self.piece = 65536
        self.answered_bytes = None
        self.forwarded = self.connections = 0
        self.pairs = []
        self.listener = socket.create_server(("127.0.0.1", listen_port))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target_port))
            except OSError:
                if self.listener.fileno() < 0:
                    return
                near.close()
                continue
            self.connections += 1
            self.pairs.append((near, far))
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.carry, args=(near, far), daemon=True).start()

    def carry(self, near, far):
        with near, far, contextlib.suppress(OSError, ValueError):
            while True:
                for end in select.select([near, far], [], [])[0]:
                    data = end.recv(self.piece)
                    if not data:
                        return
                    if end is near:
                        self.forwarded += len(data)
                        far.sendall(data)
                    elif self.answered_bytes is None or self.forwarded <= self.answered_bytes:
                        near.sendall(data)

    def cut(self):
        for pair in self.pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self.pairs.clear()

    def close(self):
        self.listener.close()
        self.cut()


class BadLink(unittest.TestCase):
    def setUp(self):
        self.world = World(ARGUMENTS.bin, segment_bytes="1MiB")
        self.addCleanup(self.world.close)
        text = self.world.gateway_config.read_text()
        self.world.gateway_config.write_text(text + 'window_bytes = "256KiB"\ncompress = "never"\n')
        self.relay = BadRelay(self.world.link_port, self.world.consumer_port)
        self.addCleanup(self.relay.close)
        for daemon in (self.world.consumer, self.world.agent):
            daemon.start()
        self.world.wait_ready()

    def produce(self, count, rate, record_bytes=64):
        producer = self.world.producer(1, 0, rate, record_bytes=record_bytes)
        producer.command += ["--count", str(count)]
        self.assertEqual(0, producer.start().process.wait(30), producer.log_tail())
        wait_until(lambda: not self.world.live_lanes() and self.world.control()[0] == count, "the spill")
        self.count = count

    def assert_all_delivered(self):
        wait_until(lambda: self.world.acknowledged() == self.count, "the drain", 30)
        report = check(self.world.inbox, self.world.tallies, {})
        self.assertEqual(([], self.count), (broken_promises(report), report["delivered"]), report)

    def memory_kib(self):
        status = pathlib.Path(f"/proc/{self.world.uplink.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def test_a_link_that_gives_one_byte_at_a_time(self):
        self.relay.piece = 1
        self.produce(100, 5_000)
        self.world.uplink.start()
        self.assert_all_delivered()
        self.assertEqual(1, self.relay.connections)

    def test_without_answers_no_more_than_the_window_goes_out(self):
        self.produce(20_000, 50_000, record_bytes=512)  # ten megabytes
        self.relay.answered_bytes = 2048  # the upgrade and the Welcome come through, no Ack does
        self.world.uplink.start()
        wait_until(lambda: self.relay.forwarded > FIRST_BYTES, "the first messages", 10)
        seen = -1
        while seen != self.relay.forwarded:  # until it has come to rest
            seen = self.relay.forwarded
            time.sleep(0.5)  # the rest that is being looked at
        self.assertLess(seen, WINDOW_BYTES + MESSAGE_BYTES_MAX)
        self.assertEqual(1, self.relay.connections)
        self.assertLess(self.memory_kib(), MEMORY_KIB_MAX)
        if ARGUMENTS.half_open:
            began = time.monotonic()
            wait_until(lambda: self.relay.connections > 1, "the uplink to notice", 3 * IDLE_TIMEOUT_S)
            print(f"noticed after {time.monotonic() - began:.0f} s", flush=True)
        self.relay.answered_bytes = None
        self.relay.cut()
        self.assert_all_delivered()


def main():
    global ARGUMENTS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True)
    parser.add_argument("--half-open", action="store_true")
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
