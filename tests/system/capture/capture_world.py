"""A gateway with a capture: an agent, a `spillway-capture`, and what can be asked of them. No uplink and no consumer, but where a
test wants segments to be delivered and freed."""

import contextlib
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from harness import World, wait_until  # noqa: E402
from captured import Captured, tail  # noqa: E402


class CaptureWorld(World):
    def __init__(self, binaries, source, tables, capture_keys="", capture_program="spillway-capture", **options):
        self.source = source
        self.tables = tables
        self.capture_keys = capture_keys
        super().__init__(binaries, max_bytes="1GiB", sync_interval="50ms", **options)
        self.capture = self.daemon("capture", capture_program, "--config", self.gateway_config)

    def _write_configs(self, segment_bytes, max_bytes, sync_interval):
        super()._write_configs(segment_bytes, max_bytes, sync_interval)
        self.write_capture(self.capture_keys)

    def write_capture(self, keys):
        text = self.gateway_config.read_text().split("[[capture]]", maxsplit=1)[0]
        names = ", ".join(json.dumps(name) for name in self.tables)
        self.gateway_config.write_text(
            f'{text}\n[[capture]]\nname = "shop"\nsource = "{self.source}"\ntables = [{names}]\n{keys}\n')

    def capture_status(self):
        with contextlib.suppress(OSError, json.JSONDecodeError, IndexError):
            return json.loads((self.queue_dir / "capture.status").read_text())["captures"][0]
        return {}

    def captured(self):
        return Captured(tail(self.binaries, self.spill_dir / "telemetry"))

    def tool(self, *arguments):
        """spillway-capture with a command, as a person runs it."""
        import subprocess

        return subprocess.run([str(self.binaries / "spillway-capture"), *arguments, "--config", str(self.gateway_config)],
                              capture_output=True, text=True, timeout=60, check=False)  # fmt: skip

    def start(self):
        self.agent.start()
        self.wait_ready()
        self.capture.start()
        return self

    def close(self):
        with contextlib.suppress(Exception):
            self.capture.kill()
        super().close()

    def wait_state(self, state, timeout_s=60):
        wait_until(lambda: self.capture_status().get("state") == state, f"the capture to be {state}", timeout_s)
