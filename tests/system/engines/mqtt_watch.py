"""A relay between a client and its MQTT broker that reads what it passes on: which messages the broker sent, and which of them
the client acknowledged. It knows the packets' first bytes alone and shares no code with Spillway."""

import contextlib
import socket
import threading

PUBLISH, PUBACK, PINGREQ = 3, 4, 12


class Packets:
    """The packet types in one direction of a connection, as its bytes go by."""

    def __init__(self):
        self.pending = b""

    def take(self, data):
        self.pending += data
        while (found := self._first()) is not None:
            kind, qos, end = found
            self.pending = self.pending[end:]
            yield kind, qos

    def _first(self):
        length, shift = 0, 0
        for at, byte in enumerate(self.pending[1:5], 1):
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                end = at + 1 + length
                return (self.pending[0] >> 4, self.pending[0] >> 1 & 3, end) if len(self.pending) >= end else None
        return None


class MqttWatch:
    """`before_acknowledgements(count)` is called with the number of all that are to be passed on, before they are."""

    def __init__(self, broker_port, before_acknowledgements=None):
        self.broker_port, self.before = broker_port, before_acknowledgements
        self.delivered = self.acknowledged = self.pings = self.connections = 0
        self.sockets = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.connections += 1
                try:
                    broker = socket.create_connection(("127.0.0.1", self.broker_port))
                except OSError:
                    client.close()
                    continue
                self.sockets += [client, broker]
                threading.Thread(target=self._pass, args=(client, broker, self._from_client), daemon=True).start()
                threading.Thread(target=self._pass, args=(broker, client, self._from_broker), daemon=True).start()

    @staticmethod
    def _pass(source, sink, look):
        packets = Packets()
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                look(list(packets.take(data)))
                sink.sendall(data)
            # The other direction goes on: the broker may still have acknowledgements to read.
            return sink.shutdown(socket.SHUT_WR)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _from_client(self, packets):
        self.pings += sum(kind == PINGREQ for kind, _ in packets)
        count = sum(kind == PUBACK for kind, _ in packets)
        if count:
            if self.before:
                self.before(self.acknowledged + count)
            self.acknowledged += count

    def _from_broker(self, packets):
        self.delivered += sum(kind == PUBLISH and qos > 0 for kind, qos in packets)

    def close(self):
        for end in [self.listener, *self.sockets]:
            with contextlib.suppress(OSError):
                end.close()
