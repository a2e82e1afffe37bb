#!/usr/bin/env python3
"""package_test.py --build DIR --source DIR --version V: the Debian packages that this build tree gives.

What is in them, what they depend on (two ways: dpkg-shlibdeps, which packed them, against the table that cross builds use),
how far their units are shut in (systemd-analyze), that their configuration and each example in it is valid, that a stranger's
project builds against libspillway-dev and feeds an agent, and that an older version is refused.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import packages

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
from harness import Daemon, wait_until  # noqa: E402

ARGUMENTS = None
EXPOSURE_MAX = 2.0

# What each must bring; which of them there are depends on the libraries that the build has found.
MUST_HAVE = {
    "spillway": {"/usr/bin/spillway", "/usr/bin/spillway-agent", "/usr/bin/spillway-uplink", "/usr/bin/spillway-api", "/usr/bin/spillway-sensor",
                 "/usr/lib/systemd/system/spillway-agent.service", "/usr/lib/systemd/system/spillway-uplink.service",
                 "/usr/lib/systemd/system/spillway-api.service", "/usr/lib/systemd/system/spillway-sensor.service",
                 "/usr/lib/sysusers.d/spillway.conf", "/usr/lib/tmpfiles.d/spillway.conf", "/etc/spillway/spillway.toml"},
    "spillway-consumer": {"/usr/bin/spillway-consumer", "/usr/lib/systemd/system/spillway-consumer.service", "/etc/spillway/consumer.toml"},
    "libspillway-dev": {"/usr/include/spillway/spillway.h", "/usr/include/spillway/producer.h"},
    "libspillway0": set(),
}  # fmt: skip
SOMETIMES = {"spillway-ingest-capture": "spillway-capture", "spillway-ingest-iceoryx": "spillway-iceoryx",
             "spillway-ingest-mqtt": "spillway-mqtt"}  # fmt: skip


class Packages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="spillway-packages-")
        cls.addClassCleanup(cls.folder.cleanup)
        root = pathlib.Path(cls.folder.name)
        cls.packages = packages.pack(ARGUMENTS.build, root / "packages")
        cls.root = packages.unpack(cls.packages.values(), root / "root")
        cls.architecture = packages.run("dpkg", "--print-architecture").strip()

    def units(self):
        return sorted((self.root / "usr/lib/systemd/system").glob("*.service"))

    def test_each_brings_what_it_is_for(self):
        expected = dict(MUST_HAVE)
        for package, program in SOMETIMES.items():
            if (ARGUMENTS.build / "bin" / program).exists():
                expected[package] = {f"/usr/bin/{program}", f"/usr/lib/systemd/system/{program}.service"}
        for module in ARGUMENTS.build.glob("lib/*/spillway/libspillway-*.so"):
            expected[module.stem.removeprefix("lib")] = {f"/usr/lib/{module.parts[-3]}/spillway/{module.name}"}
        self.assertEqual(set(expected), set(self.packages))
        for name, wanted in expected.items():
            there = packages.contents(self.packages[name])
            paths = {path for _, _, path in there}
            self.assertEqual(set(), wanted - paths, name)
            self.assertEqual({"root/root"}, {owner for _, owner, _ in there}, name)
            for file in ("copyright", "changelog.Debian.gz"):
                self.assertIn(f"/usr/share/doc/{name}/{file}", paths)
            writable = [path for mode, _, path in there if mode[0] != "l" and mode[8] == "w"]
            self.assertEqual([], writable, name)
            self.assertTrue(packages.field(self.packages[name], "Version").startswith(ARGUMENTS.version + "-"))
            self.assertEqual(self.architecture, packages.field(self.packages[name], "Architecture"))

    def test_dependencies_agree_with_the_table_for_cross_builds(self):
        dependencies = ARGUMENTS.source / "packaging/dependencies.py"
        for name, package in self.packages.items():
            with tempfile.TemporaryDirectory() as folder:
                files = list(packages.elf_files(packages.unpack([package], pathlib.Path(folder))))
                by_table = packages.run(sys.executable, dependencies, "--files", *files) if files else ""
            wanted = {part.strip().split(" ")[0] for part in by_table.split(",") if part.strip()}
            ours = {other for other in packages.relations(package) if other in self.packages}
            self.assertEqual(packages.relations(package) - ours - {"systemd"}, wanted, name)

    def test_no_program_looks_for_libraries_of_the_build_tree(self):
        for path in packages.elf_files(self.root):
            dynamic = packages.run("readelf", "-d", path)
            self.assertNotRegex(dynamic, r"\((RPATH|RUNPATH)\)", path)
            self.assertNotIn(".debug_info", packages.run("readelf", "-S", "-W", path), path)

    def test_units_are_shut_in_and_valid(self):
        self.assertGreaterEqual(len(self.units()), 5)
        for unit in self.units():
            said = packages.run("systemd-analyze", "security", "--offline=yes", "--no-pager", unit)
            exposure = float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)[1])
            self.assertLess(exposure, EXPOSURE_MAX, f"{unit.name}\n{said}")
            text = unit.read_text()
            self.assertIn("Type=notify\n", text, unit.name)
            self.assertRegex(text, r"\nWatchdogSec=\d+s\n", unit.name)
            self.assertNotRegex(text, "@[A-Z_]+@", unit.name)
            self.assertNotRegex(text, r"\nUser=root", unit.name)
            self.assertRegex(text, r"\nUser=spillway", unit.name)
            program = re.search(r"\nExecStart=(\S+)", text)[1]
            self.assertTrue((self.root / program.lstrip("/")).exists(), program)
        # As systemd itself reads them. What it says of missing other things (targets of a whole system) is not of ours.
        verified = subprocess.run(["systemd-analyze", "verify", "--man=no", f"--root={self.root}", *(unit.name for unit in self.units())],
                                  capture_output=True, text=True)  # fmt: skip
        ours = [line for line in verified.stderr.splitlines() if re.search(r"spillway-\w+\.service:\d+|Unknown|Failed to parse", line)]
        self.assertEqual([], ours)

    def test_configuration_is_valid_as_it_comes_and_with_each_example(self):
        for name in ("spillway.toml", "consumer.toml"):
            text = (self.root / "etc/spillway" / name).read_text()
            example = re.sub(r"^# (?=\[+[\w.]+\]+\s*(#.*)?$|\w+ = )", "", text, flags=re.MULTILINE)
            self.assertNotEqual(text, example)
            # With a certificate the listener is one for gateways elsewhere.
            example = example.replace("…", "").replace('listen = "ws://', 'listen = "wss://')
            for content in (text, example):
                path = self.root / name
                path.write_text(content)
                packages.run(ARGUMENTS.build / "bin/spillway", "config", "check", path)

    def test_a_part_that_is_not_configured_is_told_by_has(self):
        shipped = self.root / "etc/spillway/spillway.toml"
        broken = self.root / "broken.toml"
        broken.write_text("[gatway]\n")
        for part, path, code in (("uplink", shipped, 1), ("api", shipped, 1), ("capture", shipped, 1), ("iceoryx", shipped, 1), ("mqtt", shipped, 1),
                                 ("uplink", broken, 2), ("consumer", self.root / "etc/spillway/consumer.toml", 0)):  # fmt: skip
            ended = subprocess.run([ARGUMENTS.build / "bin/spillway", "config", "has", part, path], capture_output=True)
            self.assertEqual(code, ended.returncode, (part, path, ended.stderr))

    def test_an_older_version_is_refused_with_the_way_out(self):
        for name in ("spillway", "spillway-consumer"):
            with tempfile.TemporaryDirectory() as folder:
                packages.run("dpkg-deb", "--control", self.packages[name], folder)
                script = pathlib.Path(folder) / "preinst"
                for action in ("upgrade", "install"):
                    ended = subprocess.run([script, action, "99.0-1"], capture_output=True, text=True)
                    self.assertEqual(1, ended.returncode)
                    self.assertIn("refused: 99.0-1 is here", ended.stderr)
                    self.assertIn("allow-downgrade", ended.stderr)
                    for older in ("", "0.0.1-1", packages.field(self.packages[name], "Version")):
                        subprocess.run([script, action, older], check=True)
                    subprocess.run([script, "install"], check=True)

    def test_a_strangers_project_builds_and_feeds_an_agent(self):
        project = pathlib.Path(self.folder.name) / "project"
        shutil.copytree(pathlib.Path(__file__).resolve().parent / "stranger", project)
        triplet = packages.run("gcc", "-print-multiarch").strip()
        environment = {"PATH": "/usr/bin:/bin", "PKG_CONFIG_PATH": str(self.root / "usr/lib" / triplet / "pkgconfig"),
                       "PKG_CONFIG_SYSROOT_DIR": str(self.root)}  # fmt: skip
        flags = packages.run("pkg-config", "--cflags", "--libs", "spillway", env=environment).split()
        programs = [project / name for name in ("by_pkg_config", "build/by_cmake", "build/by_cmake_static")]
        packages.run("gcc", project / "feed.c", "-o", programs[0], *flags, f"-Wl,-rpath,{self.root}/usr/lib/{triplet}")
        packages.run("cmake", "-S", project, "-B", project / "build", f"-DCMAKE_PREFIX_PATH={self.root}/usr")
        packages.run("cmake", "--build", project / "build")
        config = project / "feed.toml"
        config.write_text(f'[gateway]\nqueue_dir = "{project}/queue"\nspill_dir = "{project}/spill"\n')
        agent = Daemon("agent", [ARGUMENTS.build / "bin/spillway-agent", "--config", config], project).start()
        self.addCleanup(agent.kill)
        wait_until((project / "queue/control").exists, "the agent's queue")
        for program in programs:
            packages.run(program, project / "queue", program.name)
        agent.stop()
        told = packages.run(ARGUMENTS.build / "bin/spillway", "verify", project / "spill")
        stored = b"".join(path.read_bytes() for path in (project / "spill").rglob("*.spill"))
        for program in programs:
            self.assertIn(f"from {program.name}".encode(), stored, told)

    def test_each_public_header_stands_alone(self):
        include = self.root / "usr/include"
        headers = sorted(include.rglob("*.h"))
        self.assertGreater(len(headers), 8)
        source = "".join(f'#include "{header.relative_to(include)}"\n' for header in headers)
        for one in [*(f'#include "{header.relative_to(include)}"\n' for header in headers), source]:
            packages.run("g++", "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{include}", "-x", "c++", "-", input=one)
        packages.run("gcc", "-std=c11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{include}", "-x", "c", "-",
                     input='#include "spillway/spillway.h"\n')  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--source", required=True, type=pathlib.Path)
    parser.add_argument("--version", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
