"""A real mosquitto from Debian's package, in a folder and on a port of its own."""

import os
import pathlib
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from engine_tests import EngineMissing  # noqa: E402
from harness import Daemon, free_port, wait_until  # noqa: E402

PROGRAM = "/usr/sbin/mosquitto"


def have_mosquitto():
    if not os.access(PROGRAM, os.X_OK):
        raise EngineMissing(f"{PROGRAM} is not installed")
    try:
        import paho.mqtt.client  # noqa: F401
    except ImportError as missing:
        raise EngineMissing("python3-paho-mqtt is not installed") from missing


class MosquittoServer:
    """`extra` are more lines of its configuration. Its default keeps 1,000 messages for whoever is away and throws away the
    rest: a queue for a consumer wants `max_queued_messages 0`. It writes its store after so many changes
    (`saves`), whole, and at its end; 0: at its end alone."""

    def __init__(self, folder, extra="allow_anonymous true", saves=1):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.daemon = Daemon("mosquitto", [PROGRAM, "-c", self.folder / "mosquitto.conf"], self.folder)
        self.saving = f"autosave_interval {saves}\nautosave_on_changes true"
        self.configure(extra)

    def configure(self, extra):
        (self.folder / "mosquitto.conf").write_text(
            f"user root\nlistener {self.port} 127.0.0.1\npersistence true\npersistence_location {self.folder}/\n"
            f"{self.saving}\nmax_queued_messages 0\nmax_inflight_messages 1000\n{extra}\n"
        )

    @property
    def url(self):
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self):
        self.daemon.start()
        wait_until(self.answers, "mosquitto")
        return self

    def answers(self):
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self):
        self.daemon.kill()
