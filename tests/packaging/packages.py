"""Debian packages for tests: made from a build tree, unpacked, and asked what they say of themselves."""

import os
import pathlib
import re
import subprocess


def run(*command, **options):
    """The command's output; its errors and its end in the exception where it fails."""
    ended = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if ended.returncode != 0:
        raise RuntimeError(f"{command} ended with {ended.returncode}\n{ended.stdout}\n{ended.stderr}")
    return ended.stdout


def pack(build, folder):
    """All packages of this build, by name."""
    environment = dict(os.environ, SOURCE_DATE_EPOCH="1700000000")
    # gzip: a test does not keep them.
    run("cpack", "-G", "DEB", "-D", "CPACK_DEBIAN_COMPRESSION_TYPE=gzip", "--config", build / "CPackConfig.cmake", "-B", folder,
        env=environment)  # fmt: skip
    return {path.name.split("_")[0]: path for path in pathlib.Path(folder).glob("*.deb")}


def field(package, name):
    return run("dpkg-deb", "--field", package, name).strip()


def relations(package):
    """The names that it depends on; alternatives are told by their first."""
    return {re.split(r"[ (|]", part.strip())[0] for part in field(package, "Depends").split(",") if part.strip()}


def unpack(packages, root):
    for package in packages:
        run("dpkg-deb", "--extract", package, root)
    return root


def contents(package):
    """(mode, owner, path) of each entry."""
    listing = run("dpkg-deb", "--contents", package).splitlines()
    return [(row[0], row[1], row[5].lstrip(".")) for row in (line.split() for line in listing)]


def elf_files(root):
    for path in sorted(pathlib.Path(root).rglob("*")):
        if path.is_file() and not path.is_symlink() and path.read_bytes()[:4] == b"\x7fELF":
            yield path
