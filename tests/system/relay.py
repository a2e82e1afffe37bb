#!/usr/bin/env python3
"""relay.py LISTEN_PORT TARGET_PORT: the network link between uplink and consumer, so that a test can cut it.

Killing the relay cuts every connection and refuses new ones; starting it again brings the link back. It copies bytes and
knows nothing of what they mean.
"""

import select
import socket
import sys

CHUNK_BYTES = 256 * 1024


class Pipe:
    """One direction of one connection, with at most one chunk in flight."""

    def __init__(self, source, sink):
        self.source, self.sink, self.pending = source, sink, b""

    def read(self):
        self.pending = self.source.recv(CHUNK_BYTES)
        return bool(self.pending)

    def write(self):
        self.pending = self.pending[self.sink.send(self.pending):]


def serve(listen_port, target_port):
    listener = socket.create_server(("127.0.0.1", listen_port))
    pipes = []
    while True:
        readable = [listener] + [pipe.source for pipe in pipes if not pipe.pending]
        writable = [pipe.sink for pipe in pipes if pipe.pending]
        ready_in, ready_out, _ = select.select(readable, writable, [])
        dead = set()
        for pipe in pipes:
            try:
                if pipe.pending and pipe.sink in ready_out:
                    pipe.write()
                elif not pipe.pending and pipe.source in ready_in and not pipe.read():
                    dead |= {pipe.source, pipe.sink}
            except BlockingIOError:
                pass
            except OSError:
                dead |= {pipe.source, pipe.sink}
        for end in dead:
            end.close()
        pipes = [pipe for pipe in pipes if pipe.source not in dead]
        if listener in ready_in:
            pipes += connect(listener, target_port)


def connect(listener, target_port):
    client, _ = listener.accept()
    try:
        server = socket.create_connection(("127.0.0.1", target_port), timeout=5)
    except OSError:
        client.close()
        return []
    for end in (client, server):
        end.setblocking(False)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return [Pipe(client, server), Pipe(server, client)]


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
