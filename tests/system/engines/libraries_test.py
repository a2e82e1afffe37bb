#!/usr/bin/env python3
"""libraries_test.py --bin DIR --modules DIR --version VERSION: only an engine's own module needs its client library.

And what an uplink or a consumer says of a module that is not installed, is of another version, or cannot be loaded: which
package to install. Each runs on a copy of the installation, of which the test takes away or breaks one file.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ARGUMENTS = None
LIBRARIES = {"rabbitmq": "librabbitmq", "kafka": "librdkafka", "mqtt": "libmosquitto", "nats": "libnats", "http": "libcurl"}
EXIT_WRONG_USE = 2

CONFIG = """
[gateway]
queue_dir = "{root}/queue"
spill_dir = "{root}/spill"
[[uplink]]
name = "cloud"
url = "amqp://guest@127.0.0.1:1/"
[consumer]
inbox = "sqlite:{root}/inbox.db"
[[consumer.source]]
url = "amqp://guest@127.0.0.1:1/"
"""


def libraries_of(file):
    return subprocess.run(["ldd", file], capture_output=True, text=True, check=True).stdout


class Libraries(unittest.TestCase):
    def test_no_program_needs_an_engines_library(self):
        for name in ("spillway-agent", "spillway", "spillway-uplink", "spillway-consumer"):
            needed = libraries_of(ARGUMENTS.bin / name)
            self.assertEqual([], [library for library in LIBRARIES.values() if library in needed], name)

    def test_each_module_needs_its_own_alone(self):
        modules = sorted(ARGUMENTS.modules.glob("libspillway-*.so"))
        self.assertTrue(modules, "no module was built, so this test could not fail")
        for module in modules:
            engine = module.stem.rsplit("-", 1)[1]
            direct = subprocess.run(["readelf", "-d", module], capture_output=True, text=True, check=True).stdout
            self.assertEqual([LIBRARIES[engine]], [library for library in LIBRARIES.values() if library in direct], module.name)


class Modules(unittest.TestCase):
    """An installation of its own: bin/ and, in the same place from there as the real one, the modules."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="spillway-modules-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        (self.root / "bin").mkdir()
        for program in ("spillway-uplink", "spillway-consumer"):
            shutil.copy(ARGUMENTS.bin / program, self.root / "bin")
        self.modules = self.root / ARGUMENTS.modules.relative_to(ARGUMENTS.bin.parent)
        self.modules.mkdir(parents=True)
        self.config = self.root / "spillway.toml"
        self.config.write_text(CONFIG.format(root=self.root))

    def refusal(self, program):
        ended = subprocess.run([self.root / "bin" / program, "--config", self.config], capture_output=True, text=True, timeout=30)
        self.assertEqual(EXIT_WRONG_USE, ended.returncode, ended.stderr)
        return ended.stderr + ended.stdout

    def both(self):
        yield "spillway-uplink", "spillway-sink-rabbitmq"
        yield "spillway-consumer", "spillway-source-rabbitmq"

    def test_one_that_is_not_installed_is_named(self):
        for program, package in self.both():
            said = self.refusal(program)
            self.assertIn(f"needs the package {package}", said)
            self.assertIn("install it", said)

    def test_one_of_another_version_is_refused(self):
        for program, package in self.both():
            name = f"lib{package}.so"
            built = (ARGUMENTS.modules / name).read_bytes()
            version = ARGUMENTS.version.encode()
            self.assertIn(b"\0" + version + b"\0", built)
            other = version[:-1] + bytes([version[-1] ^ 1])
            (self.modules / name).write_bytes(built.replace(b"\0" + version + b"\0", b"\0" + other + b"\0"))
            said = self.refusal(program)
            self.assertIn(f"is of {other.decode()}", said)
            self.assertIn("install both of one version", said)

    def test_one_that_cannot_be_loaded_is_named(self):
        for program, package in self.both():
            (self.modules / f"lib{package}.so").write_bytes(b"not a library")
            self.assertIn(f"needs the package {package}, which cannot be loaded", self.refusal(program))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("--modules", required=True, type=pathlib.Path)
    parser.add_argument("--version", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
