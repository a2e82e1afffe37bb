#!/usr/bin/env python3
"""package_soak.py --build-packages "NAME..." [SUITE...]: each Debian builds the packages of two versions by itself, warnings being errors
there, too; lintian looks at them; and machine_test.py lives their life on a machine of that Debian. As root; ./run soak package.

What compilers made is kept in the cache, so a second run mostly links.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

from machine import HOST_SUITE, Machine

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SUITES = ("bookworm", "trixie")
# Debian 12's versions that Debian 13 has not.
RENAMED = {"trixie": {"libboost1.81-dev": "libboost1.83-dev", "libboost-json1.81-dev": "libboost-json1.83-dev"}}
NEWER = "0.2.0"
LINTIAN_OFF = "initial-upload-closes-no-bugs,bogus-mail-host-in-debian-changelog"


def copy_source(root):
    """What git knows of, or is about to."""
    names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=SOURCE, capture_output=True, check=True)
    there = b"\0".join(name for name in names.stdout.split(b"\0") if name and (SOURCE / os.fsdecode(name)).exists())
    archive = subprocess.run(["tar", "-c", "--null", "-T", "-"], cwd=SOURCE, input=there, capture_output=True, check=True).stdout
    root.mkdir()
    subprocess.run(["tar", "-x"], cwd=root, input=archive, check=True)


def build(suite, build_packages, folder, jobs, options):
    """The suite's packages of this version, and of a newer one: two folders in `folder`."""
    renamed = RENAMED.get(suite, {})
    packages = [renamed.get(name, name) for name in build_packages]
    cache = pathlib.Path(os.environ.get("SPILLWAY_CACHE", pathlib.Path.home() / ".cache/spillway")) / f"ccache-{suite}"
    cache.mkdir(parents=True, exist_ok=True)
    machine = Machine(suite, folder / "builder", packages)
    copy_source(machine.root / "source")
    (machine.root / "ccache").mkdir()
    epoch = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=SOURCE, capture_output=True, text=True, check=True).stdout.strip()
    made = []
    with machine.mounted():
        subprocess.run(["mount", "--bind", cache, machine.root / "ccache"], check=True)
        try:
            for name, version in (("this", None), ("newer", NEWER)):
                raised = f"-DSPILLWAY_VERSION={version}" if version else ""
                machine.shell(f"cd /source && export CCACHE_DIR=/ccache CCACHE_BASEDIR=/source CCACHE_NOHASHDIR=1 SOURCE_DATE_EPOCH={epoch} && "
                              f"cmake --preset package {raised} {' '.join(options)} && cmake --build build/package -j {jobs} && "
                              f"cd build/package && cpack -G DEB -B /{name}")  # fmt: skip
                made.append(folder / suite / name)
                made[-1].mkdir(parents=True)
                for package in (machine.root / name).glob("*.deb"):
                    package.rename(made[-1] / package.name)
        finally:
            subprocess.run(["umount", "--lazy", machine.root / "ccache"], check=True)
    return made


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build-packages", required=True)
    parser.add_argument("--options", default="", help="of CMake, for the build")
    parser.add_argument("--jobs", default="2")
    parser.add_argument("suites", nargs="*", default=SUITES, metavar="SUITE")
    arguments = parser.parse_args()
    for suite in arguments.suites:
        with tempfile.TemporaryDirectory(prefix="spillway-soak-", dir="/var/tmp") as folder:
            print(f"== {suite}: builds two versions", flush=True)
            this, newer = build(suite, arguments.build_packages.split(), pathlib.Path(folder), arguments.jobs, arguments.options.split())
            if suite == HOST_SUITE:
                subprocess.run(["lintian", "--fail-on", "error", "--allow-root", "--suppress-tags", LINTIAN_OFF, *this.glob("*.deb")], check=True)
            subprocess.run([sys.executable, SOURCE / "tests/packaging/machine_test.py", "--suite", suite, "--packages", this, "--newer", newer],
                           check=True)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
