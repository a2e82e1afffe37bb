"""Situations of lying peers: a consumer that forges its acks, a gateway that forges its blocks, scripted from the documents alone."""

import contextlib
import os
import socket
import sqlite3
import time

import wire
from network_world import CONSUMER_PORT
from scenes import healed, situation
from websocket_peer import TEXT, Closed, WebSocketPeer

OFFSET_LIMIT = 1 << 62
IMPOSSIBLE_FRAME = b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff"  # longer than any message may be
RESERVED_BITS = b"\xf2\x05hello"
PROTOCOL, ROLLED_BACK, UNKNOWN_CODE = 1, 4, 99


def must_end(peer, act, name):
    """The other end closes the connection at this, or has done so while it was still being said."""
    try:
        with contextlib.suppress(Closed):
            act()
            peer.ends()
    except AssertionError as error:
        raise AssertionError(f"{name}: {error}") from None


# --- a consumer that lies ---


class Caller:
    """A real uplink on the line: its Hello is read, nothing is said yet."""

    def __init__(self, listener):
        connection, _ = listener.accept()
        self.peer = WebSocketPeer.accept(connection)
        kind, hello = wire.read(self.peer.receive())
        assert kind == wire.HELLO, f"an uplink begins with Hello, not {kind}"
        (stream,) = hello.tables(4)
        self.journals = [journal.id(0) for journal in stream.tables(2)]
        self.held = [journal.number(3, "Q") for journal in stream.tables(2)]

    def say(self, *messages):
        for message in messages:
            self.peer.send(message)
        return self

    def welcome(self, window=4 << 20):
        return self.say(wire.welcome([[(journal, 0) for journal in self.journals]], window))

    def sent_end(self):
        """Waits for records, and returns the offset behind them."""
        while True:
            kind, body = wire.read(self.peer.receive())
            if kind == wire.BLOCKS and (end := wire.data_end(body.tables(2))):
                return end

    def ack(self, following):
        return self.say(wire.ack(self.journals[-1], following))


def ack_of_more_than_was_sent(caller):
    caller.welcome().ack(caller.sent_end() + 1_000_000)


def ack_of_nearly_everything(caller):
    caller.welcome().ack(OFFSET_LIMIT - 1)


def ack_of_an_impossible_offset(caller):
    caller.welcome().ack((1 << 64) - 1)


def ack_of_another_journal(caller):
    caller.welcome().say(wire.ack(os.urandom(16), caller.sent_end()))


def ack_of_another_stream(caller):
    caller.welcome().say(wire.ack(caller.journals[-1], caller.sent_end(), stream=7))


def ack_before_the_welcome(caller):
    caller.ack(1)


def ack_that_promises_nothing(caller):
    caller.welcome().say(wire.ack(caller.journals[-1], caller.sent_end(), durability=0))


def welcome_for_no_stream(caller):
    caller.say(wire.welcome([]))


def welcome_for_two_streams(caller):
    caller.say(wire.welcome([[(caller.journals[-1], 0)]] * 2))


def welcome_for_another_journal(caller):
    caller.say(wire.welcome([[(os.urandom(16), 0)]]))


def welcome_ahead_of_what_is_held(caller):
    caller.say(wire.welcome([[(caller.journals[-1], caller.held[-1] + 1_000_000)]]))


def welcome_of_another_version(caller):
    caller.say(wire.welcome([[(caller.journals[-1], 0)]], version=7))


def welcome_twice(caller):
    caller.welcome().welcome()


def a_message_of_an_uplink(caller):
    caller.welcome().say(wire.gap(caller.journals[-1], 0, 10))


def rubbish(caller):
    caller.welcome().say(os.urandom(300))


def half_a_message(caller):
    caller.welcome().say(wire.ack(caller.journals[-1], 1)[:-9])


def an_empty_message(caller):
    caller.welcome().say(b"")


def text(caller):
    caller.welcome().peer.send(b"HTTP/1.1 200 OK", TEXT)


def an_endless_frame(caller):
    caller.welcome().peer.send_raw(IMPOSSIBLE_FRAME)


def reserved_bits(caller):
    caller.welcome().peer.send_raw(RESERVED_BITS)


def a_refusal_of_an_unknown_kind(caller):
    caller.welcome().say(wire.refusal(UNKNOWN_CODE, "no \x1b[31mreason\n"))


def a_refusal_for_good(caller):
    caller.say(wire.refusal(ROLLED_BACK, ""))


LIES = (ack_of_more_than_was_sent, ack_of_nearly_everything, ack_of_an_impossible_offset, ack_of_another_journal, ack_of_another_stream,
        ack_before_the_welcome, ack_that_promises_nothing, welcome_for_no_stream, welcome_for_two_streams, welcome_for_another_journal,
        welcome_ahead_of_what_is_held, welcome_of_another_version, welcome_twice, a_message_of_an_uplink, rubbish, half_a_message,
        an_empty_message, text, an_endless_frame, reserved_bits, a_refusal_of_an_unknown_kind, a_refusal_for_good)  # fmt: skip


def tell_lies(world, listener):
    """Each lie ends its session, moves no cursor, and the uplink comes back for the next."""
    for lie in LIES:
        caller = Caller(listener)
        with contextlib.closing(caller.peer):
            must_end(caller.peer, lambda: lie(caller), lie.__name__)
        if world.acknowledged() != 0:
            raise AssertionError(f"{lie.__name__} moved the cursor to {world.acknowledged()}")


def repeat_and_go_back(listener):
    """Doubled acks harm nothing; one that takes back what was acknowledged ends the session."""
    caller = Caller(listener).welcome()
    with contextlib.closing(caller.peer):
        first = caller.sent_end()
        caller.ack(0).ack(0).ack(first).ack(first).ack(first)
        second = caller.sent_end()
        assert second > first, "the session did not go on after doubled acks"
        caller.ack(second).ack(first)
        caller.peer.ends()


def give_no_window(listener):
    """With a window of nothing one message at a time is allowed, and no second before its ack."""
    caller = Caller(listener).welcome(window=0)
    with contextlib.closing(caller.peer):
        for _ in range(3):
            end = caller.sent_end()
            caller.peer.connection.settimeout(0.3)
            with contextlib.suppress(Closed, socket.timeout):
                kind, _ = wire.read(caller.peer.receive())
                raise AssertionError(f"a message of kind {kind} beyond the window")
            caller.peer.connection.settimeout(20)
            caller.ack(end)


@situation("peers")
def consumer_lies(stage):
    # What the liar acknowledges is to be held still when the honest one comes.
    world = stage.world(segment_bytes="8MiB")
    keys = world.gateway_config.read_text()
    world.gateway_config.write_text(keys.replace('reconnect_max = "500ms"', 'reconnect_max = "60ms"'))
    listener = world.net.far.inside(lambda: socket.create_server((world.net.far.address, CONSUMER_PORT)))
    listener.settimeout(20)
    with listener:
        world.agent.start()
        world.wait_ready()
        world.load(400)
        world.wait(lambda: world.control()[0] > 0, "the first records")
        world.uplink.start()
        tell_lies(world, listener)
        repeat_and_go_back(listener)
        give_no_window(listener)
    world.consumer.start()
    if world.uplink.starts != 1 or not world.uplink.alive():
        raise AssertionError(f"the uplink ended\n{world.uplink.log_tail()}")
    world.wait(lambda: world.connections() > 0 and world.rows() > 0, "the honest consumer to be found")
    return healed(world, f"{len(LIES)} lies")


# --- a gateway that lies ---

SALT, FOREIGN_LANE = 0x5A17, 77


class Gateway:
    """A scripted gateway whose session stands: Hello and Welcome are behind it, and its stream holds whatever it says."""

    def __init__(self, world, identity=None, journal=None, greet=True):
        self.id, self.journal = identity or os.urandom(16), journal or os.urandom(16)
        address = (world.net.far.address, CONSUMER_PORT)
        self.peer = WebSocketPeer.connect(world.net.near.inside(lambda: socket.create_connection(address, 20)), "consumer")
        if greet:
            self.say(wire.hello(self.id, self.journal, 0, 1_000))
            kind, body = wire.read(self.peer.receive())
            assert kind == wire.WELCOME, f"a consumer answers with Welcome, not {kind}"
            self.wanted = body.tables(2)[0].tables(1)[0].number(1, "Q")

    def say(self, *messages):
        for message in messages:
            self.peer.send(message)
        return self

    def blocks(self, *parts, salt=SALT):
        return self.say(wire.blocks(self.journal, salt, wire.lane_block(SALT, 0, FOREIGN_LANE) + b"".join(parts)))

    def acked(self):
        kind, body = wire.read(self.peer.receive())
        assert kind == wire.ACK, f"an Ack was due, not {kind}"
        return body.number(2, "Q")


def data(base, *records, lane=FOREIGN_LANE):
    return wire.data_block(SALT, base, records, lane)


def records_beyond_next(gateway):
    gateway.blocks(data(5, b"a", b"b"))


def a_flipped_bit(gateway):
    broken = bytearray(data(0, b"abcdefgh"))
    broken[90] ^= 1
    gateway.blocks(bytes(broken))


def another_salt(gateway):
    gateway.blocks(data(0, b"a"), salt=SALT + 1)


def records_of_an_undeclared_lane(gateway):
    gateway.blocks(data(0, b"a", lane=1234))


def half_a_block(gateway):
    gateway.blocks(data(0, b"abcdefgh")[:-8])


def more_records_than_frames(gateway):
    gateway.blocks(wire.block(SALT, 0, 3, wire.DATA, wire.frames([b"a", b"b"]), FOREIGN_LANE, 64, 2))


def frames_that_overrun(gateway):
    frames = bytearray(wire.frames([b"a", b"b"]))
    frames[0:4] = (5000).to_bytes(4, "little")
    gateway.blocks(wire.block(SALT, 0, 2, wire.DATA, bytes(frames), FOREIGN_LANE, 64, 2))


def an_impossible_base(gateway):
    gateway.blocks(data(OFFSET_LIMIT, b"a"))


def a_compressed_block_that_was_not_agreed(gateway):
    stored = b"\x28\xb5\x2f\xfd" + bytes(28)
    header = bytearray(wire.block(SALT, 0, 1, wire.DATA, stored, FOREIGN_LANE, 64, 2, raw=262144)[:64])
    header[29] = 1
    header[:8] = wire.xxhash.xxh3_64_intdigest(bytes(header[8:]) + stored, SALT).to_bytes(8, "little")
    gateway.blocks(bytes(header) + stored)


def a_lane_of_another_id(gateway):
    stolen = bytearray(wire.lane_block(SALT, 0, 1))
    stolen[32:40] = (2).to_bytes(8, "little")
    stolen[:8] = wire.xxhash.xxh3_64_intdigest(bytes(stolen[8:]), SALT).to_bytes(8, "little")
    gateway.blocks(bytes(stolen))


def another_journal(gateway):
    gateway.say(wire.blocks(os.urandom(16), SALT, data(0, b"a")))


def another_stream(gateway):
    gateway.say(wire.blocks(gateway.journal, SALT, data(0, b"a"), stream=9))


def a_gap_beyond_next(gateway):
    gateway.say(wire.gap(gateway.journal, 10, 20))


def a_gap_with_a_wrong_count(gateway):
    gateway.say(wire.gap(gateway.journal, 0, 20, count=3))


def a_gap_backwards(gateway):
    gateway.say(wire.gap(gateway.journal, 20, 0, count=0))


def a_second_hello(gateway):
    gateway.say(wire.hello(gateway.id, gateway.journal))


def an_ack(gateway):
    gateway.say(wire.ack(gateway.journal, 5))


def noise(gateway):
    gateway.say(os.urandom(500))


def text_to_the_consumer(gateway):
    gateway.peer.send(b"hello", TEXT)


def a_frame_without_a_mask(gateway):
    gateway.peer.masks = False
    gateway.say(b"hello")


def an_endless_frame_with_a_mask(gateway):
    gateway.peer.send_raw(b"\x82\xff\x7f" + b"\xff" * 7 + bytes(4) + b"x" * 100)


FORGERIES = (records_beyond_next, a_flipped_bit, another_salt, records_of_an_undeclared_lane, half_a_block, more_records_than_frames,
             frames_that_overrun, an_impossible_base, a_compressed_block_that_was_not_agreed, a_lane_of_another_id, another_journal,
             another_stream, a_gap_beyond_next, a_gap_with_a_wrong_count, a_gap_backwards, a_second_hello, an_ack, noise,
             text_to_the_consumer, a_frame_without_a_mask, an_endless_frame_with_a_mask)  # fmt: skip


def greet_wrongly(world):
    """What is no Hello, or one that cannot be: the connection ends."""
    identity, journal = os.urandom(16), os.urandom(16)
    for first in (wire.hello(identity, journal, version=0), wire.hello(identity, journal, 9, 3), wire.hello(identity, journal, name="a\nb" * 200),
                  wire.hello(identity, journal, stream="../../x\0y"), wire.hello(bytes(16), journal)[:40],
                  wire.blocks(journal, SALT, data(0, b"a")), b"", os.urandom(64)):  # fmt: skip
        gateway = Gateway(world, greet=False)
        with contextlib.closing(gateway.peer):
            must_end(gateway.peer, lambda: gateway.say(first), f"a first message of {len(first)} bytes: {first[-60:]}")


def repeat_honestly(world):
    """Doubled, straddling and resent blocks are stored once; returns that gateway's records as they must stand."""
    gateway = Gateway(world)
    with contextlib.closing(gateway.peer):
        gateway.blocks(data(0, b"zero", b"one")).blocks(data(0, b"zero", b"one")).blocks(data(1, b"one", b"two", b"three"))
        while gateway.acked() < 4:
            pass
        gateway.say(wire.gap(gateway.journal, 0, 3))
    again = Gateway(world, gateway.id, gateway.journal)
    with contextlib.closing(again.peer):
        assert again.wanted == 4, f"the consumer wants {again.wanted} next, not 4"
        again.blocks(data(2, b"two", b"three", b"four"))
        assert again.acked() == 5, "the straddling block was not applied from next on"
    return [b"zero", b"one", b"two", b"three", b"four"]


def rows_of_liars(world):
    with contextlib.closing(sqlite3.connect(f"file:{world.inbox}?mode=ro", uri=True)) as inbox:
        return [row[0] for row in inbox.execute("SELECT payload FROM record WHERE topic='liar/one' ORDER BY record_offset")]


@situation("peers")
def gateway_lies(stage):
    """Beside it an honest gateway's session goes on as if nothing was."""
    world = stage.loaded(500)
    sessions = world.connections()
    idle = []
    for _ in range(40):  # they hold half a request out and wait
        address = (world.net.far.address, CONSUMER_PORT)
        idle.append(world.net.near.inside(lambda: socket.create_connection(address, 20)))
        stage.cleanup.callback(idle[-1].close)
        idle[-1].sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgr")
    began = time.monotonic()
    for forgery in FORGERIES:
        gateway = Gateway(world)
        with contextlib.closing(gateway.peer):
            must_end(gateway.peer, lambda: forgery(gateway), forgery.__name__)
        if rows_of_liars(world):
            raise AssertionError(f"{forgery.__name__} was stored")
    greet_wrongly(world)
    world.wait_flowing()
    expected = repeat_honestly(world)
    if rows_of_liars(world) != expected:
        raise AssertionError(f"stored {rows_of_liars(world)}, expected {expected}")
    if world.connections() != sessions or world.consumer.starts != 1 or world.supervisor.restarts:
        raise AssertionError(f"the honest gateway was disturbed\n{world.uplink.log_tail()}\n{world.consumer.log_tail()}")
    return healed(world, f"{len(FORGERIES)} forgeries in {time.monotonic() - began:.1f} s")
