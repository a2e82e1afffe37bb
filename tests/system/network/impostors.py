"""What may stand where a consumer or a name server should be: a server of names that fails as told, a captive portal."""

import contextlib
import socket
import ssl
import struct
import threading

NAME_SERVER = ("127.0.0.53", 53)
PAGE = b"<html><body><h1>Welcome to Hotel Wi-Fi</h1><form action=/login>Please accept our terms</form></body></html>"


class NameServer:
    """Answers every A question with one address, or as `mode` says: "right", "no such name", "server failed", "silent"."""

    CODES = {"right": 0, "no such name": 3, "server failed": 2}
    TYPE_A = 1

    def __init__(self, namespace, address):
        self.address, self.mode, self.asked = socket.inet_aton(address), "right", 0
        self.socket = namespace.inside(self._open)
        threading.Thread(target=self._serve, daemon=True).start()

    @staticmethod
    def _open():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(NAME_SERVER)
        return made

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                question, peer = self.socket.recvfrom(512)
                if not question:
                    return
                self.asked += 1
                if self.mode != "silent":
                    self.socket.sendto(self._answer(question), peer)

    def _answer(self, question):
        end = question.index(b"\0", 12) + 5  # behind the one name and its type and class
        (kind,) = struct.unpack_from(">H", question, end - 4)
        found = self.mode == "right" and kind == self.TYPE_A
        head = question[:2] + struct.pack(">HHHHH", 0x8180 | self.CODES[self.mode], 1, int(found), 0, 0)
        record = struct.pack(">HHHIH", 0xC00C, self.TYPE_A, 1, 0, 4) + self.address  # to be asked again each time
        return head + question[12:end] + (record if found else b"")

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Portal:
    """A captive portal: whoever connects, over TLS if there is a certificate, gets an answer of HTTP, most politely 200."""

    ANSWERS = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(PAGE), PAGE),
        b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 511 Network Authentication Required\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + PAGE * 2000,  # without an end, and larger than any header
    )

    def __init__(self, namespace, port, certificate=None):
        self.answered = 0
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)
        self.socket = namespace.inside(lambda: socket.create_server(("", port)))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.socket.accept()
                threading.Thread(target=self._greet, args=(near,), daemon=True).start()

    def _greet(self, near):
        with near, contextlib.suppress(OSError):
            near.settimeout(5)
            if self.context:
                near = self.context.wrap_socket(near, server_side=True)
            with near:
                near.recv(4096)
                answer = self.ANSWERS[self.answered % len(self.ANSWERS)]
                self.answered += 1
                near.sendall(answer)

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
