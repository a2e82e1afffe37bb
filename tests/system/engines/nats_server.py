"""A real nats-server with JetStream from Debian's package, and a reader that speaks its text protocol by itself, so that
nothing of Spillway's judges what Spillway has stored there."""

import base64
import json
import pathlib
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import Daemon, free_port, wait_until  # noqa: E402

PROGRAM = "/usr/sbin/nats-server"


class NatsServer:
    """One server in a folder and on a port of its own. `extra` are more lines of its configuration."""

    def __init__(self, folder, extra=""):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.config = self.folder / "nats.conf"
        self.configure(extra)
        self.daemon = Daemon("nats", [PROGRAM, "-c", self.config], self.folder)

    def configure(self, extra):
        self.config.write_text(
            f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: "{self.folder}/store", max_file_store: 1GB }}\n{extra}\n'
        )

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    def start(self):
        self.daemon.start()
        wait_until(self.answers, "nats-server")
        return self

    def answers(self):
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self):
        self.daemon.kill()


class NatsReader:
    """A connection that asks JetStream's own API."""

    def __init__(self, port, user=None, password=None, timeout_s=20):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.file = self.socket.makefile("rb")
        self.next_inbox = 0
        self.file.readline()  # INFO
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "name": "oracle"}
        if user:
            options |= {"user": user, "pass": password}
        self._send(f"CONNECT {json.dumps(options)}\r\nPING\r\n")
        self._until(b"PONG")

    def close(self):
        self.file.close()
        self.socket.close()

    def _send(self, text):
        self.socket.sendall(text.encode())

    def _until(self, word):
        while True:
            line = self.file.readline()
            if not line:
                raise OSError("the server closed the connection")
            if line.startswith(b"PING"):
                self._send("PONG\r\n")
            elif line.startswith(b"-ERR"):
                raise OSError(line.decode().strip())
            elif line.startswith(word):
                return line.decode().split()

    def _message(self):
        """(headers as text, payload) of the next message, of whichever subscription."""
        while True:
            line = self.file.readline()
            if not line:
                raise OSError("the server closed the connection")
            words = line.decode().split()
            if words and words[0] == "PING":
                self._send("PONG\r\n")
            if words and words[0] in ("MSG", "HMSG"):
                break
        size = int(words[-1])
        head = int(words[-2]) if words[0] == "HMSG" else 0
        content = self.file.read(size + 2)[:-2]
        return content[:head].decode(), content[head:]

    def ask(self, subject, request):
        self.next_inbox += 1
        inbox = f"_INBOX.oracle.{self.next_inbox}"
        payload = json.dumps(request) if request is not None else ""
        self._send(f"SUB {inbox} {self.next_inbox}\r\nUNSUB {self.next_inbox} 1\r\n"
                   f"PUB {subject} {inbox} {len(payload)}\r\n{payload}\r\n")  # fmt: skip
        _, answer = self._message()
        return json.loads(answer) if answer else {}

    def stream(self, name):
        return self.ask(f"$JS.API.STREAM.INFO.{name}", None)

    def messages(self, stream):
        """(headers as a dict, payload) of every message of the stream, in its order."""
        state = self.stream(stream)["state"]
        for sequence in range(state["first_seq"], state["last_seq"] + 1):
            answer = self.ask(f"$JS.API.STREAM.MSG.GET.{stream}", {"seq": sequence})
            if "message" not in answer:
                continue  # a hole: deleted
            message = answer["message"]
            lines = base64.b64decode(message.get("hdrs", "")).decode().split("\r\n")[1:]
            headers = dict(line.split(": ", 1) for line in lines if ": " in line)
            yield headers, base64.b64decode(message.get("data", ""))
