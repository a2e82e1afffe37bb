"""Situations of a session that is cut at each of its bytes in turn, by a TCP relay beside the gateway."""

import contextlib
import selectors
import socket
import struct
import threading
import time

from network_world import CONSUMER_PORT
from scenes import healed, situation

# The upgrade, the first messages, and their edges lie below: each byte of them is a cut's place.
UP_BYTES, DOWN_BYTES = 1800, 700
SESSION_S = 3  # one that has not come to its cut by then is cut where it is
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST and forgets what was not delivered


class CuttingRelay:
    """Each connection is carried until `places` says: (up or down, after so many bytes, by FIN or by RST); then as it is."""

    def __init__(self, namespace, target, places):
        self.namespace, self.target = namespace, target
        self.places = iter(places)
        self.cuts = self.early = 0
        self.done = threading.Event()
        self.listener = namespace.inside(lambda: socket.create_server(("127.0.0.1", CONSUMER_PORT)))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        """One connection after the other: an uplink has one at a time."""
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                place = next(self.places, None)
                if place is None:
                    self.done.set()
                try:
                    far = self.namespace.inside(lambda: socket.create_connection(self.target, 5))
                except OSError:
                    near.close()
                    continue
                with near, far, contextlib.suppress(OSError):
                    self._carry(near, far, place)

    def _carry(self, near, far, place):
        way, limit, reset = place or (None, 0, False)
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        carried = {"up": 0, "down": 0}
        until = time.monotonic() + SESSION_S
        with selectors.DefaultSelector() as waiting:
            waiting.register(near, selectors.EVENT_READ, ("up", far))
            waiting.register(far, selectors.EVENT_READ, ("down", near))
            while way is None or carried[way] < limit:
                ready = waiting.select(1)
                if way and time.monotonic() > until:
                    self.early += 1
                    break
                for key, _ in ready:
                    its_way, other = key.data
                    room = limit - carried[way] if its_way == way else 65536
                    data = key.fileobj.recv(min(room, 65536)) if room else b""
                    if not data and room:
                        return
                    other.sendall(data)
                    carried[its_way] += len(data)
        self.cuts += 1
        if reset:
            for end in (near, far):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def cut_everywhere(stage, way, places):
    world = stage.world(host="127.0.0.1")
    text = world.gateway_config.read_text()
    text = text.replace('reconnect_min = "50ms"', 'reconnect_min = "5ms"').replace('reconnect_max = "500ms"', 'reconnect_max = "8ms"')
    world.gateway_config.write_text(text)
    relay = CuttingRelay(world.net.near, (world.net.far.address, CONSUMER_PORT), [(way, *place) for place in places])
    stage.cleanup.callback(relay.close)
    world.start().load(500)
    world.wait(relay.done.is_set, f"{len(places)} cuts", 60 + len(places) / 10)
    if relay.early > len(places) / 50:
        raise AssertionError(f"{relay.early} of {len(places)} sessions did not come to their cut")
    return healed(world, f"{relay.cuts} cuts")


def every_byte(stage, byte_count, step=1):
    """By FIN at each byte; by RST, which may take bytes with it that came before, at some of them."""
    seed = stage.seed
    return [(byte, False) for byte in range(0, byte_count, step)] + [(byte, True) for byte in range(seed % 7, byte_count, 7 * step)]


@situation("bytes")
def cut_at_every_byte_to_the_consumer(stage):
    return cut_everywhere(stage, "up", every_byte(stage, UP_BYTES))


@situation("bytes")
def cut_at_every_byte_to_the_gateway(stage):
    return cut_everywhere(stage, "down", every_byte(stage, DOWN_BYTES))
