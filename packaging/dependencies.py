#!/usr/bin/env python3
"""Which packages an ELF file's libraries are in, by a table: dpkg-shlibdeps cannot look into a sysroot of another architecture.

dependencies.py --build DIR COMPONENT...   prints, as CMake reads it, what each component depends on: by its files' NEEDED entries
dependencies.py --files FILE...            prints what these files together depend on

The table (debian/sonames.txt) has a line for each library: SONAME PACKAGE (>= VERSION). A library that is not in it is an error.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

TABLE = pathlib.Path(__file__).resolve().parent / "debian" / "sonames.txt"
OURS = re.compile(r"libspillway")
LOADER = re.compile(r"ld-linux.*")  # comes with libc6


def read_table():
    table = {}
    for line in TABLE.read_text().splitlines():
        if line and not line.startswith("#"):
            soname, package = line.split(maxsplit=1)
            table[soname] = package
    return table


def is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def needed_of(path):
    out = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"\(NEEDED\).*\[(.+)\]", out))


def depends_of(paths):
    """The relations of these files' libraries, sorted; fails on a library that no line of the table names."""
    table = read_table()
    needed = {name for path in paths for name in needed_of(path) if not LOADER.fullmatch(name) and not OURS.match(name)}
    unknown = sorted(needed - set(table))
    if unknown:
        raise SystemExit(f"dependencies.py: {TABLE} has no line for {', '.join(unknown)}: add the package that has it")
    return sorted({table[name] for name in needed})


def elf_files(folder):
    return [path for path in pathlib.Path(folder).rglob("*") if path.is_file() and not path.is_symlink() and is_elf(path)]


def install(build, component, folder):
    subprocess.run(["cmake", "--install", build, "--component", component], check=True, stdout=subprocess.DEVNULL,
                   env=dict(os.environ, DESTDIR=folder))  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path)
    parser.add_argument("--files", action="store_true")
    parser.add_argument("names", nargs="+")
    arguments = parser.parse_args()
    if arguments.files:
        print(", ".join(depends_of(arguments.names)))
        return
    for component in arguments.names:
        with tempfile.TemporaryDirectory(prefix="spillway-component-") as folder:
            install(arguments.build, component, folder)
            depends = ", ".join(depends_of(elf_files(folder)))
        print(f'set(SPILLWAY_LIBRARIES_{component.upper()} "{depends}")')


if __name__ == "__main__":
    sys.exit(main())
