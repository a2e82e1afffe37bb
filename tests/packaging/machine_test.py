#!/usr/bin/env python3
"""machine_test.py --suite bookworm|trixie --packages DIR --newer DIR: the packages' whole life on a Debian with a real systemd.

Installed in a chroot, as an image is made; booted; upgraded with a backlog while a producer runs; killed and hung; refused a
downgrade; removed, and purged. The oracle numbers its records itself, and reads the inbox with sqlite3 alone. As root.
"""

import argparse
import json
import pathlib
import re
import shutil
import sqlite3
import sys
import tempfile
import time

from machine import Failed, Machine, wait_until
from packages import field

UPLINK = """
[[uplink]]
name = "cloud"
url = "ws://127.0.0.1:7443"
reconnect_max = "1s"
"""
ADAPTERS = """
[api]
socket = "/run/spillway-api/api.sock"
schema_dir = "/var/lib/spillway-api"
[[capture]]
name = "shop"
source = "sqlite:/var/lib/spillway-capture/shop.db"
tables = ["pump"]
state_dir = "/var/lib/spillway-capture"
"""
RECORD_S = 0.02
RUNNING = ("spillway-agent", "spillway-uplink", "spillway-consumer")
# What this machine needs nothing of to be judged: their own tests look at them.
LEFT_OUT = re.compile(r"^(spillway-ingest-iceoryx|libspillway-dev)_")


def say(what):
    print(f"-- {what}", flush=True)


def require(condition, what):
    if not condition:
        raise Failed(what)


class Life:
    def __init__(self, machine, packages, newer):
        self.machine = machine
        self.packages = [path for path in sorted(packages.glob("*.deb")) if not LEFT_OUT.match(path.name)]
        self.newer = [path for path in sorted(newer.glob("*.deb")) if not LEFT_OUT.match(path.name)]
        require(self.packages and len(self.packages) == len(self.newer), "the two versions have the same packages")
        self.names = [path.name.split("_")[0] for path in self.packages]
        for folder, paths in (("older", self.packages), ("newer", self.newer)):
            (machine.root / folder).mkdir()
            for path in paths:
                shutil.copy(path, machine.root / folder)

    # ---- what is asked ----

    def active(self, unit):
        return self.machine.run("systemctl", "is-active", unit, check=False)[1].strip()

    def main_pid(self, unit):
        return int(self.machine.run("systemctl", "show", "-P", "MainPID", unit))

    def wait_active(self, *units):
        for unit in units:
            wait_until(lambda unit=unit: self.active(unit) == "active", f"{unit} is active:\n{self.journal(unit)}", 60)

    def journal(self, unit):
        return self.machine.run("journalctl", "--no-pager", "-n", "20", "-u", unit, check=False)[1]

    def status(self):
        """None while no agent runs."""
        code, said = self.machine.run("spillway", "status", "--json", "--config", "/etc/spillway/spillway.toml", check=False)
        return json.loads(said) if code == 0 else None

    def agent(self):
        status = self.status()
        return status["agent"] if status else {"streams": [], "version": None, "gateway": {"id": None}}

    def payloads(self, topic):
        inbox = self.machine.root / "var/lib/spillway-consumer/inbox.db"
        with sqlite3.connect(f"file:{inbox}?mode=ro", uri=True) as database:
            return database.execute("SELECT payload FROM record WHERE topic = ? ORDER BY journal, record_offset", (topic,)).fetchall()

    def arrived(self, topic):
        return len(self.payloads(topic))

    def inbox_numbers(self):
        """The numbers that the producer wrote, as they stand in the inbox, in their order there."""
        rows = self.payloads("test/count")
        return [int(re.search(rb"count=(\d+);", payload)[1]) for (payload,) in rows]

    # ---- what is done ----

    def install_in_chroot(self):
        say("installs into a system that does not run")
        with self.machine.mounted():
            self.machine.run("apt-get", "update", "-q")
            said = self.machine.shell("apt-get install -q -y --no-install-recommends /older/*.deb")
        require("dpkg: error" not in said, said)
        for path, mode, owner in (("var/lib/spillway", "750", "spillway"), ("var/lib/spillway-consumer", "750", "spillway-consumer")):
            told = self.machine.run("stat", "-c", "%a %U", f"/{path}").split()
            require(told == [mode, owner], f"{path}: {told}")

    def first_boot(self):
        say("first boot: agent and consumer run with the configuration as it comes")
        self.wait_active("spillway-agent", "spillway-consumer")
        for unit in ("spillway-uplink", "spillway-api", "spillway-capture"):
            require(self.active(unit) == "inactive", f"{unit}: {self.active(unit)}, though nothing asks for it\n{self.journal(unit)}")
        require(self.machine.run("stat", "-c", "%a %U", "/run/spillway").split() == ["3773", "spillway"], "the queue directory")
        self.as_nobody("echo hello | spillway put test/hello --level power-safe")
        for unit in ("spillway-agent", "spillway-consumer"):
            users = self.machine.run("ps", "-o", "user:32=", "-p", self.main_pid(unit)).strip()
            require(users.startswith("spillway"), f"{unit} runs as {users}")
        warned = [line for line in self.machine.run("journalctl", "--no-pager", "-b").splitlines() if re.search(r"spillway.*(Unknown|Failed to|denied)", line)]
        require(not warned, "\n".join(warned))

    def configure(self, text):
        with open(self.machine.root / "etc/spillway/spillway.toml", "a", encoding="utf-8") as file:
            file.write(text)

    def as_nobody(self, text):
        return self.machine.run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "env", "-u", "HOME", "sh", "-c", text)

    def switch_uplink_on(self):
        say("an [[uplink]]: it runs, and what was spilled before arrives")
        self.configure(UPLINK)
        self.machine.run("systemctl", "reload", "spillway-agent")
        self.machine.run("systemctl", "restart", "spillway-uplink")
        self.wait_active("spillway-uplink")
        wait_until(lambda: self.arrived("test/hello") == 1, f"the record is in the inbox\n{self.journal('spillway-uplink')}", 60)

    def switch_adapters_on(self):
        say("sensor, HTTP API and capture, shut in as they are, serve")
        self.machine.run("systemctl", "enable", "--now", "spillway-sensor")
        self.configure(ADAPTERS)
        self.machine.run("systemctl", "start", "spillway-api")
        # A database of the capture's own, in the one directory that it may write without a drop-in.
        self.machine.shell("install -d -o spillway-ingest -g spillway-ingest /var/lib/spillway-capture")
        self.machine.run("setpriv", "--reuid=spillway-ingest", "--regid=spillway-ingest", "--clear-groups", "sqlite3",
                         "/var/lib/spillway-capture/shop.db", "CREATE TABLE pump(id INTEGER PRIMARY KEY); INSERT INTO pump VALUES (7);")  # fmt: skip
        self.machine.run("systemctl", "start", "spillway-capture")
        self.wait_active("spillway-sensor", "spillway-api", "spillway-capture")
        for topic in ("db/pump", "system/cpu"):
            wait_until(lambda topic=topic: self.arrived(topic) > 0, f"records of {topic} are in the inbox\n{self.journal('spillway-*')}", 60)

    def start_producer(self):
        self.machine.shell(
            "systemd-run --quiet --unit=producer --uid=nobody sh -c '"
            f"i=0; while [ ! -e /run/enough ]; do i=$((i+1)); echo \"count=$i;\"; sleep {RECORD_S}; done"
            " | spillway put test/count --input lines --json > /dev/shm/told; echo $? > /dev/shm/ended'"
        )
        wait_until(lambda: self.active("producer") == "active", "the producer runs")

    def backlog(self):
        lag = [entry for stream in self.agent()["streams"] for entry in stream["lag"]["delivered"]]
        return sum(entry["records"] or 0 for entry in lag)

    def upgrade_with_a_backlog(self):
        say("upgrade with a backlog, while a producer runs")
        self.start_producer()
        self.machine.run("systemctl", "stop", "spillway-consumer")
        wait_until(lambda: self.backlog() > 50, "a backlog", 60)
        producer = self.main_pid("producer")
        said = self.machine.shell("dpkg -i /newer/*.deb")
        self.wait_active("spillway-agent", "spillway-uplink")
        version = field(self.newer[0], "Version").split("-")[0]
        wait_until(lambda: self.agent()["version"] == version, f"the agent is of version {version}\n{said}", 30)
        require(self.active("spillway-consumer") == "inactive", "an upgrade does not start what was stopped")
        require(self.main_pid("producer") == producer, "the producer runs on")
        before = self.backlog()
        wait_until(lambda: self.backlog() > before, "and its records go on into the spill", 30)
        self.machine.run("systemctl", "start", "spillway-consumer")
        self.wait_active("spillway-consumer")

    def kill_and_hang(self):
        say("killed, and hung: systemd starts them again")
        for unit in RUNNING:
            self.machine.shell(f"mkdir -p /run/systemd/system/{unit}.service.d && printf '[Service]\\nWatchdogSec=2s\\nRestartSec=100ms\\n' > "
                               f"/run/systemd/system/{unit}.service.d/test.conf")  # fmt: skip
        self.machine.run("systemctl", "daemon-reload")
        self.machine.run("systemctl", "restart", *RUNNING)
        for unit in RUNNING:
            for signal in ("KILL", "STOP"):
                self.wait_active(unit)
                pid = self.main_pid(unit)
                self.machine.run("kill", f"-{signal}", pid)
                wait_until(lambda unit=unit, pid=pid: self.main_pid(unit) not in (0, pid), f"{unit} again after SIG{signal}\n{self.journal(unit)}", 60)
        self.wait_active(*RUNNING)

    def nothing_is_lost(self):
        say("every number once, in order")
        self.machine.run("touch", "/run/enough")
        wait_until(lambda: self.active("producer") != "active", "the producer ends", 60)
        last = json.loads(self.machine.shell("cat /dev/shm/told"))
        require(self.machine.shell("cat /dev/shm/ended").strip() == "0", f"the producer told {last}")
        wait_until(lambda: len(self.inbox_numbers()) >= last["accepted"], "all is delivered", 120)
        numbers = self.inbox_numbers()
        require(last["accepted"] > 100, last)
        require(numbers == list(range(1, last["accepted"] + 1)), f"{last['accepted']} were accepted, {len(numbers)} are there: {numbers}")
        print(f"   {len(numbers)} records", flush=True)

    def downgrade_is_refused(self):
        say("a downgrade is refused, and nothing has changed")
        for name in ("spillway", "spillway-consumer"):
            (older,) = [path.name for path in self.packages if path.name.startswith(f"{name}_")]
            code, said = self.machine.run("dpkg", "-i", f"/older/{older}", check=False)
            require(code != 0 and "refused:" in said and "allow-downgrade" in said, f"dpkg ended with {code}\n{said}")
            version = self.machine.run("dpkg-query", "-W", "-f", "${Version} ${db:Status-Status}", name)
            require(version == f"{field(self.newer[0], 'Version')} installed", version)
        self.wait_active(*RUNNING)

    def sink_that_is_missing(self):
        say("an engine without its package: the uplink ends and says which, and the package brings it back")
        self.machine.run("dpkg", "--remove", "spillway-sink-nats")
        config = self.machine.root / "etc/spillway/spillway.toml"
        before = config.read_text()
        config.write_text(before + '[[uplink]]\nname = "other"\nurl = "nats://127.0.0.1:4222"\n')
        self.machine.run("systemctl", "restart", "spillway-uplink", check=False)
        wait_until(lambda: self.active("spillway-uplink") == "failed", "the uplink ends for good", 60)
        require("needs the package spillway-sink-nats" in self.journal("spillway-uplink"), self.journal("spillway-uplink"))
        self.machine.shell("dpkg -i /newer/spillway-sink-nats_*.deb")
        self.wait_active("spillway-uplink")
        config.write_text(before)
        self.machine.run("systemctl", "restart", "spillway-uplink")

    def remove_and_purge(self):
        say("remove keeps data and configuration; a new installation goes on with them")
        gateway = self.agent()["gateway"]["id"]
        names = " ".join(self.names)
        self.machine.shell(f"apt-get remove -q -y {names}")
        require(self.active("spillway-agent") != "active", "the agent runs on after its removal")
        for path in ("var/lib/spillway/default", "var/lib/spillway-consumer/inbox.db", "etc/spillway/spillway.toml", "etc/spillway/consumer.toml"):
            require((self.machine.root / path).exists(), f"{path} is gone")
        self.machine.shell("dpkg -i /newer/*.deb")
        self.wait_active(*RUNNING)
        wait_until(lambda: self.agent()["gateway"]["id"] == gateway, "the same gateway", 30)
        say("purge leaves nothing")
        self.machine.shell(f"apt-get purge -q -y {names}")
        left = self.machine.shell("find / -xdev -name '*spillway*' -not -path '/older/*' -not -path '/newer/*' -not -path '/proc/*'; ls -d /run/spillway* 2> /dev/null || true")
        left = [line for line in left.splitlines() if not re.search(r"^/(run/systemd|var/lib/systemd/deb-systemd|var/log|tmp)", line)]
        require(not left, f"left behind: {left}")

    def live(self):
        self.install_in_chroot()
        with self.machine.booted():
            self.first_boot()
            self.switch_uplink_on()
            self.switch_adapters_on()
            self.upgrade_with_a_backlog()
            self.kill_and_hang()
            self.nothing_is_lost()
            self.downgrade_is_refused()
            self.sink_that_is_missing()
            self.remove_and_purge()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--suite", required=True, choices=("bookworm", "trixie"))
    parser.add_argument("--packages", required=True, type=pathlib.Path)
    parser.add_argument("--newer", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="spillway-machine-", dir="/var/tmp") as folder:
        machine = Machine(arguments.suite, folder)
        try:
            Life(machine, arguments.packages, arguments.newer).live()
        except Exception:
            if machine.container:
                shutil.copy(machine.root.parent / f"{arguments.suite}.boot", f"/var/tmp/spillway-{arguments.suite}.boot")
            raise
    print(f"{arguments.suite}: all of it, {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
