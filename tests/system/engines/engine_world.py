"""An EngineWorld is a World whose gateway and consumer have an engine between them: no link, and another url."""

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import WATCHDOG_S, World  # noqa: E402


class EngineWorld(World):
    """`uplink_keys` and `consumer_keys` are lines of TOML; the uplink's url is the engine's."""

    def __init__(self, binaries, url, uplink_keys="", consumer_keys="", **options):
        self.url, self.uplink_keys, self.consumer_keys = url, uplink_keys, consumer_keys
        super().__init__(binaries, **options)

    def _write_configs(self, segment_bytes, max_bytes, sync_interval):
        self.gateway_config.write_text(
            f"""[gateway]
name = "site/pump"
queue_dir = "{self.queue_dir}"
spill_dir = "{self.spill_dir}"

[[stream]]
name = "telemetry"
topics = ["#"]
sync_interval = "{sync_interval}"
segment_bytes = "{segment_bytes}"
max_bytes = "{max_bytes}"
{self.stream_keys}

[[uplink]]
name = "cloud"
streams = ["telemetry"]
url = "{self.url}"
reconnect_min = "50ms"
reconnect_max = "500ms"
{self.uplink_keys}
"""
        )
        self.consumer_config.write_text(
            f"""[consumer]
inbox = "sqlite:{self.inbox}"
{self.consumer_keys}
"""
        )

    def uplink_status(self):
        """The uplink's part of `spillway status --json`; empty while there is none."""
        status = self.status() or {}
        return next((uplink for uplink in status.get("uplinks", []) if uplink.get("name") == "cloud"), {})

    def fill(self, index, count, record_bytes):
        """A producer enqueues so many records, as fast as the agent takes them, and ends."""
        tally = self.tallies / f"{index}.0"
        subprocess.run([str(self.binaries / "tally-producer"), "--queue-dir", str(self.queue_dir), "--index", str(index), "--rate", "200000",
                        "--lane-bytes", "16MiB", "--record-bytes", str(record_bytes), "--count", str(count), "--tally", str(tally)],
                       check=True, timeout=WATCHDOG_S)  # fmt: skip
