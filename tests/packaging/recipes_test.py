#!/usr/bin/env python3
"""recipes_test.py --build DIR --source DIR --version V [--bitbake]: the Yocto layer and the Buildroot tree, as their own tools read them.

The layer by bitbake's own parser (from PyPI's package bitbake-setup, where it is installed; --bitbake: it must be), with classes that
stand in for OpenEmbedded's; Buildroot's files by make. Each CMake option, file, unit and user that they name has to be in this tree.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import types
import unittest

import packages

ARGUMENTS = None
CLASSES = ("base", "externalsrc", "cmake", "pkgconfig", "systemd", "useradd")
# What bitbake.conf and OpenEmbedded's classes say of these, in short.
PLACES = {"bindir": "/usr/bin", "libdir": "/usr/lib", "sysconfdir": "/etc", "nonarch_libdir": "/usr/lib", "datadir": "/usr/share",
          "systemd_system_unitdir": "/usr/lib/systemd/system", "WORKDIR": "/w", "COMMON_LICENSE_DIR": "/licenses"}  # fmt: skip


def cmake_options():
    return set(re.findall(r"^(SPILLWAY_\w+):", (ARGUMENTS.build / "CMakeCache.txt").read_text(), re.MULTILINE))


def users():
    return set(re.findall(r"^u (\S+)", "".join(path.read_text() for path in (ARGUMENTS.source / "packaging/systemd").glob("*.sysusers")), re.MULTILINE))


def options_in(text):
    return set(re.findall(r"-D(SPILLWAY_\w+)=", text))


class Yocto(unittest.TestCase):
    LAYER = "packaging/yocto/meta-spillway"

    def setUp(self):
        # bitbake's parser needs its client of a server for hashes only by name.
        hashserv = sys.modules.setdefault("hashserv", types.ModuleType("hashserv"))
        hashserv.client = sys.modules.setdefault("hashserv.client", types.ModuleType("hashserv.client"))
        try:
            import bb.data_smart
            import bb.parse
        except ImportError:
            if ARGUMENTS.bitbake:
                raise
            self.skipTest("bitbake's parser is not installed: ./run soak package does that")
        self.bb = sys.modules["bb"]
        folder = tempfile.TemporaryDirectory(prefix="spillway-classes-")
        self.addCleanup(folder.cleanup)
        self.classes = pathlib.Path(folder.name)
        (self.classes / "classes").mkdir()
        for name in CLASSES:
            (self.classes / "classes" / f"{name}.bbclass").write_text("")
        self.layer = ARGUMENTS.source / self.LAYER

    def data(self):
        data = self.bb.data_smart.DataSmart()
        data.setVar("BBPATH", str(self.classes))
        data.setVar("LAYERDIR", str(self.layer))
        data.setVar("TOPDIR", str(self.classes))
        data.setVar("__bbclasstype", "recipe")
        for name, place in PLACES.items():
            data.setVar(name, place)
        return data

    def recipe(self, path):
        name, version = path.stem.split("_")
        data = self.data()
        for key, value in (("PN", name), ("PV", version), ("BPN", name), ("FILE", str(path)), ("THISDIR", str(path.parent))):
            data.setVar(key, value)
        self.bb.parse.init_parser(data)
        parsed = self.bb.parse.handle(str(path), data)
        return parsed[""]

    def test_layer_is_read(self):
        data = self.data()
        self.bb.parse.init_parser(data)
        self.bb.parse.handle(str(self.layer / "conf/layer.conf"), data, True)
        self.assertEqual("spillway", data.getVar("BBFILE_COLLECTIONS").strip())
        pattern = data.getVar("BBFILES").strip()
        self.assertEqual(2, len(list(self.layer.glob(pattern.removeprefix(f"{self.layer}/")))))

    def test_recipe_names_what_this_tree_has(self):
        (path,) = self.layer.glob("recipes-*/spillway/*.bb")
        data = self.recipe(path)
        self.assertEqual(ARGUMENTS.version, data.getVar("PV"))
        self.assertEqual(ARGUMENTS.source.resolve(), pathlib.Path(data.getVar("EXTERNALSRC")).resolve())
        flags = data.getVarFlags("PACKAGECONFIG") or {}
        self.assertGreaterEqual(len(flags), 4)
        named = options_in(data.getVar("EXTRA_OECMAKE") + " ".join(flags.values()))
        self.assertEqual(set(), named - cmake_options())
        for value in flags.values():
            on, off = value.split(",")[:2]
            self.assertEqual(options_in(on), options_in(off))
        installed = {"/" + str(entry.relative_to(self.stage())) for entry in self.stage().rglob("*")}
        units = set()
        for package in data.getVar("PACKAGE_BEFORE_PN").split():
            for pattern in (data.getVar(f"FILES:{package}") or "").split():
                if not pattern.endswith("*.so"):
                    self.assertIn(pattern, installed, package)
            units |= set((data.getVar(f"SYSTEMD_SERVICE:{package}") or "").split())
            for file in (data.getVar(f"CONFFILES:{package}") or "").split():
                self.assertIn(file, data.getVar(f"FILES:{package}").split())
        there = {path.name.removesuffix(".in") for path in (ARGUMENTS.source / "packaging/systemd").glob("*.service.in")}
        self.assertEqual(there - {"spillway-sensor.service", "spillway-iceoryx.service"}, units)
        added = ";".join(data.getVar(f"USERADD_PARAM:{package}") for package in data.getVar("USERADD_PACKAGES").split())
        self.assertEqual(users(), {command.split()[-1] for command in added.split(";")})

    def test_the_other_recipe_is_read(self):
        (path,) = self.layer.glob("recipes-*/tl-expected/*.bb")
        data = self.recipe(path)
        self.assertRegex(data.getVarFlag("SRC_URI", "sha256sum"), r"^[0-9a-f]{64}$")
        self.assertIn(data.getVar("PV"), data.getVar("SRC_URI"))

    @classmethod
    def stage(cls):
        if not hasattr(cls, "folder"):
            cls.folder = tempfile.TemporaryDirectory(prefix="spillway-stage-")
            cls.addClassCleanup(cls.folder.cleanup)
            packages.run("cmake", "--install", ARGUMENTS.build, env=dict(os.environ, DESTDIR=cls.folder.name))
        return pathlib.Path(cls.folder.name)


class Buildroot(unittest.TestCase):
    TREE = "packaging/buildroot"

    def variables(self, package, *symbols):
        """The package's variables as make has them, with these symbols chosen."""
        tree = ARGUMENTS.source / self.TREE
        key = package.upper().replace("-", "_")
        makefile = [f"BR2_EXTERNAL_SPILLWAY_PATH = {tree}", "github = github:$(1)/$(2)/$(3)", "cmake-package =", *(f"{symbol} = y" for symbol in symbols)]
        makefile += [f"include {tree}/package/{package}/{package}.mk", "all:"]
        names = ("VERSION", "SITE", "SITE_METHOD", "CONF_OPTS", "DEPENDENCIES", "USERS")
        makefile += [f"\t$(info {name}=$({key}_{name}))" for name in names]
        told = packages.run("make", "-s", "-f", "-", "all", input="\n".join(makefile) + "\n")
        return dict(re.findall(r"^([A-Z_]+)=((?:.|\n(?![A-Z_]+=))*)", told, re.MULTILINE))

    def test_every_package_is_read(self):
        tree = ARGUMENTS.source / self.TREE
        sourced = re.findall(r'source "\$BR2_EXTERNAL_SPILLWAY_PATH/(.+)"', (tree / "Config.in").read_text())
        self.assertEqual(sorted(sourced), sorted(str(path.relative_to(tree)) for path in tree.glob("package/*/Config.in")))
        for path in tree.glob("package/*/*.mk"):
            self.assertTrue(self.variables(path.stem)["VERSION"], path)
            defined = set(re.findall(r"^config (BR2_\w+)", (path.parent / "Config.in").read_text(), re.MULTILINE))
            used = set(re.findall(r"\$\((BR2_PACKAGE_\w+)\)", path.read_text()))
            self.assertEqual(set(), used - defined, path)

    def test_spillway_names_what_this_tree_has(self):
        config = (ARGUMENTS.source / self.TREE / "package/spillway/Config.in").read_text()
        engines = re.findall(r"^config (BR2_PACKAGE_SPILLWAY_\w+)", config, re.MULTILINE)
        self.assertTrue(engines)
        plain, full = self.variables("spillway"), self.variables("spillway", *engines)
        self.assertEqual(ARGUMENTS.version, plain["VERSION"].strip())
        self.assertEqual("local", plain["SITE_METHOD"].strip())
        self.assertEqual(ARGUMENTS.source.resolve(), pathlib.Path(plain["SITE"].strip()).resolve())
        for variables in (plain, full):
            self.assertEqual(set(), options_in(variables["CONF_OPTS"]) - cmake_options())
        self.assertEqual(options_in(plain["CONF_OPTS"]), options_in(full["CONF_OPTS"]))
        self.assertEqual({line.split()[0] for line in plain["USERS"].splitlines() if line.strip()}, users())
        for name in (one for one in plain["DEPENDENCIES"].split() if not one.startswith("host-")):
            self.assertIn(f"select BR2_PACKAGE_{name.upper().replace('-', '_')}\n", config)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--source", required=True, type=pathlib.Path)
    parser.add_argument("--version", required=True)
    parser.add_argument("--bitbake", action="store_true")
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
