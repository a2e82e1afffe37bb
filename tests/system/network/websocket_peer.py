"""One end of a WebSocket (RFC 6455) over a socket, as plain as can be; it may also send what no honest end would."""

import base64
import hashlib
import os
import socket
import struct
import time

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SUBPROTOCOL = "spillway.v1"
ENDS_WITHIN_S = 12  # a half-done message may wait for a timeout
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Closed(Exception):
    """The other end is gone, or said goodbye."""


class WebSocketPeer:
    def __init__(self, connection, masks):
        self.connection, self.masks = connection, masks
        self.connection.settimeout(20)
        self.buffer = b""

    @classmethod
    def accept(cls, connection):
        """The server's side of the handshake."""
        peer = cls(connection, masks=False)
        lines = peer._read_head().split("\r\n")
        headers = {line.split(":", 1)[0].strip().lower(): line.split(":", 1)[1].strip() for line in lines[1:] if ":" in line}
        digest = base64.b64encode(hashlib.sha1((headers["sec-websocket-key"] + GUID).encode()).digest()).decode()
        peer.send_raw(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {digest}\r\n"
                      f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n".encode())  # fmt: skip
        return peer

    @classmethod
    def connect(cls, connection, host):
        """The client's side of the handshake."""
        peer = cls(connection, masks=True)
        key = base64.b64encode(os.urandom(16)).decode()
        peer.send_raw(f"GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                      f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n".encode())  # fmt: skip
        status = peer._read_head().split("\r\n")[0]
        if " 101 " not in status:
            raise Closed(status)
        return peer

    def _fill(self):
        try:
            more = self.connection.recv(65536)
        except socket.timeout:
            raise
        except OSError as error:
            raise Closed(str(error)) from error
        if not more:
            raise Closed("end of the stream")
        self.buffer += more

    def _take(self, size):
        while len(self.buffer) < size:
            self._fill()
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def _read_head(self):
        while b"\r\n\r\n" not in self.buffer:
            self._fill()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        return head.decode()

    def send_raw(self, data):
        try:
            self.connection.sendall(data)
        except OSError as error:
            raise Closed(str(error)) from error

    def send(self, payload, opcode=BINARY, final=True):
        head = bytes([(0x80 if final else 0) | opcode])
        mask_bit = 0x80 if self.masks else 0
        if len(payload) < 126:
            head += bytes([mask_bit | len(payload)])
        elif len(payload) < 65536:
            head += struct.pack(">BH", mask_bit | 126, len(payload))
        else:
            head += struct.pack(">BQ", mask_bit | 127, len(payload))
        # A mask of zeros is as good as any other and changes nothing.
        self.send_raw(head + (bytes(4) if self.masks else b"") + payload)

    def receive(self):
        """The next binary message; pings are answered on the way."""
        whole = b""
        while True:
            first, size = self._take(2)
            masked, size = size & 0x80, size & 0x7F
            if size == 126:
                (size,) = struct.unpack(">H", self._take(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", self._take(8))
            mask = self._take(4) if masked else None
            payload = self._take(size)
            if mask:
                key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
                payload = (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big") if size else b""
            opcode = first & 0x0F
            if opcode == CLOSE:
                raise Closed("a close frame")
            if opcode == PING:
                self.send(payload, PONG)
            if opcode in (BINARY, TEXT, CONTINUATION):
                whole += payload
                if first & 0x80:
                    return whole

    def ends(self):
        """Reads on until the other end closes the connection; what it said last, if it was a message."""
        last = None
        end = time.monotonic() + ENDS_WITHIN_S
        while time.monotonic() < end:
            try:
                self.connection.settimeout(max(0.01, end - time.monotonic()))
                last = self.receive()
            except Closed:
                return last
            except socket.timeout:
                break
        raise AssertionError("the connection was not closed")

    def close(self):
        self.connection.close()
