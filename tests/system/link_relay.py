"""A link in a thread of the test: counts the bytes of both directions and may be slow and far.

Each direction is a line: bytes leave at the link's rate and arrive a delay later. What waits to leave is bounded, as a
router's queue is; beyond that the sender has to wait. It copies bytes and knows nothing of what they mean.
"""

import collections
import selectors
import socket
import threading
import time

CHUNK_BYTES = 16 * 1024
QUEUE_BYTES = 64 * 1024


class Line:
    """One direction of one connection."""

    def __init__(self, link, source, sink, counts, key):
        self.link, self.source, self.sink, self.counts, self.key = link, source, sink, counts, key
        self.waiting = collections.deque()  # (arrives at, left at, bytes)
        self.ended = False

    def room(self, now):
        """Whether the queue before the link takes more: what has left and is under way does not count."""
        return sum(len(data) for _, left, data in self.waiting if left > now) < QUEUE_BYTES

    def take(self, now):
        data = self.source.recv(CHUNK_BYTES)
        if not data:
            self.ended = True
            return
        self.counts[self.key] += len(data)
        # One link for all connections: they share its rate.
        free = max(self.link.free_at.get(self.key, 0.0), now)
        left = free + (len(data) / self.link.rate if self.link.rate else 0.0)
        self.link.free_at[self.key] = left
        self.waiting.append((left + self.link.delay_s, left, data))

    def give(self, now):
        while self.waiting and self.waiting[0][0] <= now:
            arrives, left, data = self.waiting[0]
            sent = self.sink.send(data)
            self.link.arrived[self.key] += sent
            if sent == len(data):
                self.waiting.popleft()
            else:
                self.waiting[0] = (arrives, left, data[sent:])
                return


class Link:
    """Listens on a port of its own and connects on to target_port. rate in bytes/s, None: without limit."""

    def __init__(self, target_port, rate=None, delay_s=0.0, listen_port=0):
        self.target_port, self.rate, self.delay_s = target_port, rate, delay_s
        self.listener = socket.create_server(("127.0.0.1", listen_port))
        self.port = self.listener.getsockname()[1]
        self.counts = collections.Counter()  # bytes that the sender has put into the link
        self.arrived = collections.Counter()  # and that have come out of it
        self.free_at = {}
        self.lines = []
        self.stopped = False
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        self.stopped = True
        self.thread.join(10)
        self.listener.close()
        for line in self.lines:
            line.source.close()

    def sent(self):
        """Bytes towards the target and back, so far."""
        return self.counts["up"], self.counts["down"]

    def connect(self):
        client, _ = self.listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self.target_port), timeout=5)
        except OSError:
            client.close()
            return
        for end in (client, server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.lines += [Line(self, client, server, self.counts, "up"), Line(self, server, client, self.counts, "down")]

    def run(self):
        while not self.stopped:
            now = time.monotonic()
            with selectors.DefaultSelector() as selector:
                selector.register(self.listener, selectors.EVENT_READ)
                due = now + 0.1
                for line in self.lines:
                    if not line.ended and line.room(now):
                        selector.register(line.source, selectors.EVENT_READ, line)
                    if line.waiting:
                        # The next byte to arrive, or the next room in the queue.
                        due = min(due, *(at for at in line.waiting[0][:2] if at > now), due)
                        if line.waiting[0][0] <= now:
                            due = min(due, now + 0.001)
                ready = selector.select(max(due - now, 0.0005))
            now = time.monotonic()
            for key, _ in ready:
                if key.data is None:
                    self.connect()
                    continue
                self.attempt(key.data.take, now, key.data)
            for line in self.lines:
                self.attempt(line.give, now, line)
            self.drop_ended()

    @staticmethod
    def attempt(step, now, line):
        try:
            step(now)
        except BlockingIOError:
            pass
        except OSError:
            line.ended = True
            line.waiting.clear()

    def drop_ended(self):
        """A connection goes when one of its directions has ended and is empty."""
        gone = {end for line in self.lines if line.ended and not line.waiting for end in (line.source, line.sink)}
        for end in gone:
            end.close()
        self.lines = [line for line in self.lines if line.source not in gone]
