#!/usr/bin/env python3
"""The house rules that a compiler does not see. check_style.py [REPOSITORY]: prints each breach as FILE:LINE: rule.

1. Includes point down only: core <- shm <- edge-agent, core <- uplink; edge-agent and uplink never include each other.
2. A header has #pragma once (or, for C, a guard) and opens with a comment that says what it is for.
3. No source is longer than LINES_MAX; no tabs; no white space at a line's end; a newline at the file's end.
4. A TODO gives its reason: `TODO(reason): ...`.
5. Nothing names a package registry's host: the machine's own sources are used.
6. Nothing tells of how it came about: no tracker numbers, no paths of a developer's machine. History is git's.
"""

import pathlib
import re
import subprocess
import sys

LINES_MAX = 500
SOURCES = {".h", ".cc", ".c", ".cpp"}
TEXTS = SOURCES | {".py", ".sh", ".cmake", ".txt", ".md", ".fbs", ".json", ".toml"}

# For each room, the rooms whose headers it may include. Tests, benchmarks and examples stand above all rooms.
MAY_INCLUDE = {
    "core": {"core"},
    "shm": {"core", "shm"},
    "edge-agent": {"core", "shm", "edge-agent"},
    "uplink": {"core", "uplink"},
    # The consumer's workflows may publish, through the producer's public header alone.
    "uplink/consumer": {"core", "uplink", "producer"},
}
# The product's own public headers by what they begin with, most telling first.
PUBLIC = [("spillway/core/", "core"), ("spillway/shm/", "shm"), ("spillway/agent/", "edge-agent"),
          ("spillway/uplink/", "uplink"), ("spillway/consumer/", "uplink"), ("spillway/", "producer")]  # fmt: skip
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')
# Spelled in parts, so that this file does not break its own rule.
REGISTRY_HOST = re.compile("|".join(["deb" + r"\.debian\.org", "pypi" + r"\.org", "crates" + r"\.io", "registry" + r"\.npm", "snapshot" + r"\.debian"]))

HISTORY = re.compile("|".join([r"\bissue" + r" #?\d+", "/work" + "/(main|shared)", r"(?<![\w$}])/ro" + "ot/", r"\bhelper " + r"[A-F]\b"]))


def room_of(path):
    for room in sorted(MAY_INCLUDE, key=len, reverse=True):
        if path.startswith(room + "/"):
            return room
    return None


def room_of_include(included):
    """The room an include reaches into; nothing for the system's and the libraries' headers."""
    for prefix, room in PUBLIC:
        if included.startswith(prefix):
            return room
    first = included.split("/")[0]
    return first if "/" in included and first in {"core", "shm", "edge-agent", "uplink", "tests", "bench", "examples"} else None


def include_breach(path, line):
    """What is wrong with this include line in this file; nothing if it points down."""
    match = INCLUDE.match(line)
    room = room_of(path)
    if not match or room is None:
        return None
    reached = room_of_include(match[1])
    allowed = MAY_INCLUDE[room] | ({"producer"} if "shm" in MAY_INCLUDE[room] else set())
    if reached is None or reached in allowed:
        return None
    return f"{room} may not include {reached} ({match[1]})"


def header_breaches(path, lines):
    text = "\n".join(lines)
    if not lines or not lines[0].startswith(("//", "/*")):
        yield 1, "a header opens with a comment: what it is for, who may call it from which thread, its invariants"
    if "#pragma once" not in lines and not re.search(r"^#ifndef \w+_H$", text, re.MULTILINE):
        yield 1, "a header has #pragma once"


def line_breaches(path, line, is_source):
    if line != line.rstrip():
        yield "white space at the line's end"
    if REGISTRY_HOST.search(line):
        yield "names a package registry's host: use the machine's own sources"
    if HISTORY.search(line):
        yield "tells of how it came about (a tracker's number, a developer's path)"
    if is_source:
        if "\t" in line:
            yield "a tab"
        if re.search(r"\b(TODO|FIXME|XXX)\b(?!\([^)]+\): \S)", line):
            yield "a TODO without its reason: TODO(reason): what"
        breach = include_breach(path, line)
        if breach:
            yield breach


def breaches(path, text):
    """(line number, what) for everything that is wrong in this file."""
    lines = text.splitlines()
    is_source = pathlib.PurePath(path).suffix in SOURCES
    if text and not text.endswith("\n"):
        yield len(lines), "no newline at the file's end"
    if (is_source or path.endswith(".py")) and len(lines) > LINES_MAX:
        yield LINES_MAX, f"{len(lines)} lines; at most {LINES_MAX} can be read in one sitting"
    if path.endswith(".h"):
        yield from header_breaches(path, lines)
    for number, line in enumerate(lines, 1):
        for what in line_breaches(path, line, is_source):
            yield number, what


def files(root):
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=root, check=True,
                            capture_output=True, text=True).stdout.splitlines()  # fmt: skip
    names = {"run", ".ci/run", "CMakeLists.txt"}
    return [name for name in listed if (pathlib.PurePath(name).suffix in TEXTS or name in names) and (root / name).is_file()]


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2])
    listed = files(root)
    found = 0
    for name in listed:
        for number, what in breaches(name, (root / name).read_text()):
            print(f"{name}:{number}: {what}")
            found += 1
    print(f"{len(listed)} files read, {found} breaches of the house rules")
    return 1 if found or not listed else 0


if __name__ == "__main__":
    sys.exit(main())
