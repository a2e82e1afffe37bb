"""A real Kafka broker (one node, KRaft) from its published Java artifacts, in a folder and on ports of its own.

kafka/pom.xml names what it is made of; Maven brings it into its own repository, once a machine. What a test asks of the broker
goes through Kafka's own tools, so that nothing of Spillway's judges what Spillway has stored there.
"""

import contextlib
import functools
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from engine_tests import EngineMissing  # noqa: E402
from harness import Daemon, free_port, wait_until  # noqa: E402

BUILD_FILE = pathlib.Path(__file__).resolve().parent / "kafka" / "pom.xml"
LOGGING = pathlib.Path(__file__).resolve().parent / "kafka" / "log4j2.properties"
HEAP = "-Xmx384m"
# A test's broker lives for seconds: what it costs to start counts for more than what it does when it is warm.
QUICK_START = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
LONG_RUN = ["-XX:+UseG1GC"]
CLUSTER_ID = "c3BpbGx3YXktdGVzdHMtMQ"
FETCH_S = 300


@functools.cache
def class_path():
    """The broker's jars, as Maven knows them; EngineMissing where they are not to be had."""
    target = BUILD_FILE.parent.parents[3] / "build" / "engines"
    target.mkdir(parents=True, exist_ok=True)
    listing = target / "kafka.classpath"
    if listing.exists() and listing.stat().st_mtime > BUILD_FILE.stat().st_mtime:
        jars = listing.read_text().strip()
        if all(pathlib.Path(jar).exists() for jar in jars.split(":")):
            return jars
    command = ["mvn", "-B", "-q", "-f", str(BUILD_FILE), "dependency:build-classpath", f"-Dmdep.outputFile={listing}"]
    try:
        made = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineMissing(f"Kafka's artifacts could not be fetched: {error}") from error
    if made.returncode != 0:
        raise EngineMissing(f"Kafka's artifacts could not be fetched: {' '.join(command)}\n{made.stdout[-2000:]}{made.stderr[-2000:]}")
    return listing.read_text().strip()


def java(main, *arguments, long_run=False, **keys):
    """Runs one of Kafka's own tools to its end and returns what it printed."""
    command = ["java", HEAP, *(LONG_RUN if long_run else QUICK_START), f"-Dlog4j2.configurationFile={LOGGING}", "-cp", class_path(), main,
               *map(str, arguments)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=keys.pop("timeout", 120), check=False, **keys)
    if done.returncode != 0:
        raise RuntimeError(f"{main} {arguments}: exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


class KafkaServer:
    """One broker; `settings` are lines of its server.properties, `listeners` more than the plain one: {name: (protocol, port)}."""

    def __init__(self, folder, settings=None, listeners=None, long_run=False):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.controller_port = free_port()
        self.listeners = listeners or {}
        self.config = self.folder / "server.properties"
        self._write_config(settings or {})
        command = ["java", HEAP, *(LONG_RUN if long_run else QUICK_START), f"-Dlog4j2.configurationFile={LOGGING}",
                   "-cp", class_path(), "kafka.Kafka", self.config]  # fmt: skip
        self.daemon = Daemon("kafka", command, self.folder)
        self.formatted = False

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def _write_config(self, settings):
        more = "".join(f",{name}://127.0.0.1:{port}" for name, (_, port) in self.listeners.items())
        protocols = "".join(f",{name}:{protocol}" for name, (protocol, _) in self.listeners.items())
        lines = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}{more}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}{more}",
            "listener.security.protocol.map": f"CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT{protocols}",
            "log.dirs": self.folder / "log",
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 2,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 2,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            # What a broker's next life waits for after kill -9: its last one's registration.
            "broker.session.timeout.ms": 2000,
            "broker.heartbeat.interval.ms": 500,
            "group.initial.rebalance.delay.ms": 0,
            "num.network.threads": 2,
            "num.io.threads": 2,
            **settings,
        }
        self.config.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))

    def start(self):
        if not self.formatted:
            java("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", self.config)
            self.formatted = True
        self.daemon.start()
        return self

    def wait_ready(self):
        """Until a client gets an answer about a topic; the broker's own log says when it serves."""
        wait_until(lambda: self._serves(), f"the broker serves; see {self.daemon.log_path}")
        return self

    def _serves(self):
        if not self.daemon.alive():
            raise RuntimeError(f"the broker ended; see {self.daemon.log_path}:\n{self.daemon.log_tail()}")
        return self.daemon.log_path.read_text(errors="replace").count("Kafka Server started") >= self.daemon.starts

    def kill(self):
        self.daemon.kill()

    def stop(self):
        return self.daemon.stop(timeout_s=60)

    def close(self):
        with contextlib.suppress(OSError):
            self.daemon.kill()

    # --- what Kafka's own tools say ---

    def create_topic(self, topic, partitions=1, **settings):
        configs = [part for key, value in settings.items() for part in ("--config", f"{key.replace('_', '.')}={value}")]
        java("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", self.address, "--create", "--topic", topic,
             "--partitions", partitions, "--replication-factor", 1, *configs)  # fmt: skip

    def describe_topic(self, topic):
        return java("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", self.address, "--describe", "--topic", topic)

    def alter(self, kind, name, config, delete=False):
        """Sets `key=value`, or deletes a key, of kind 'topics', or of 'clients' by default."""
        entity = ("--entity-name", name) if name else ("--entity-default",)
        what = ("--delete-config" if delete else "--add-config", config)
        java("kafka.admin.ConfigCommand", "--bootstrap-server", self.address, "--alter", "--entity-type", kind, *entity, *what)

    def grant(self, user, *what):
        java("org.apache.kafka.tools.AclCommand", "--bootstrap-server", self.address, "--add", "--allow-principal", f"User:{user}", *what)

    def read_topic(self, topic, at_least=0, isolation="read_committed"):
        """Everything that stands in a topic, by Kafka's console consumer: a list of (partition, offset, headers, key, value).

        It ends when nothing has come for a while. Where that was fewer messages than there should be, the machine may have been
        too busy for it: then it is read again, more patiently.
        """
        for idle_ms in (4_000, 15_000, 60_000):
            messages = self._read_topic(topic, idle_ms, isolation)
            if len(messages) >= at_least:
                break
        return messages

    def _read_topic(self, topic, idle_ms, isolation):
        printed = java(
            "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", self.address, "--topic", topic,
            "--from-beginning", "--isolation-level", isolation, "--timeout-ms", idle_ms,
            *[part for name in ("partition", "offset", "headers", "key") for part in ("--property", f"print.{name}=true")],
            "--property", "key.separator=\t", "--property", "headers.separator=\x01",
            "--value-deserializer", "org.apache.kafka.common.serialization.BytesDeserializer", timeout=300)  # fmt: skip
        return [parse_line(line) for line in printed.splitlines() if line.startswith("Partition:")]


def parse_line(line):
    partition, offset, headers, key, value = line.split("\t", 4)
    named = {}
    for header in headers.split("\x01"):
        name, _, text = header.partition(":")
        named[name] = text
    return int(partition.split(":")[1]), int(offset.split(":")[1]), named, key, value



def main():
    """kafka_server.py FOLDER: a broker for a person to try things with, until it is told to stop."""
    broker = KafkaServer(sys.argv[1])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        broker.start().wait_ready()
        print(f"ready {broker.address}", flush=True)
        broker.daemon.process.wait()
    finally:
        broker.close()


if __name__ == "__main__":
    main()
