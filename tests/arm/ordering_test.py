"""ordering_test.py --build DIR --architecture A --objdump PROGRAM [--every-mutant]: the orders stand in the machine code.

Every release store, acquire load, release addition and full fence of the sources below is looked up in the objects that the
build made, by the compiler's own line tables (objdump --inlines), wherever it was inlined. Its instructions must be those that
C++'s mapping to the architecture asks for (tests/model/README.md names who proved that mapping sound):

  arm64    ldar or ldapr; stlr; dmb ish for a full fence
  armhf    ldr, dmb ish; dmb ish, str; dmb ish (ARMv7 has no ldar)
  riscv64  a load, then fence; fence rw,w, then a store or amoswap; fence (as GCC 12 does it, some fences wider)

Nothing is listed by hand: a point that is added to the sources is looked for, and one that no object shows is a failure.
Then points are weakened in a copy of the sources, compiled once more, and each must be found out.
"""

import argparse
import collections
import json
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Everything that processes share memory by: the lanes, the doorbell and the control page of the queue; the streams' tail and
# durable words, which go through a mapping's store_release and load_acquire. (A cursor is read and written by the kernel.)
FOLDERS = ("shm", "core")
LEFT_OUT = {"core/env/sim_file.cc": "the simulated machine of the tests", "shm/include/spillway/fence.h": "what defines full_fence"}
OBJECTS = ("shm/producer/producer.cc", "shm/producer/c_api.cc", "shm/queue/lane_reader.cc", "shm/queue/queue_directory.cc",
           "core/env/posix_mapping.cc", "core/env/bus_guard.cc")  # fmt: skip

POINT = re.compile(
    r"(?P<call>(?:\.|->)(?P<operation>store|load|fetch_add)\([^;{}]*?memory_order_(?P<order>release|acquire|acq_rel|seq_cst))"
    r"|(?<![\w:] )(?P<fence>\bfull_fence\(\);)")

Point = collections.namedtuple("Point", "file first last kind")

# What a point's instructions must be, in this order, with anything between. Names as objdump writes them.
PATTERNS = {
    "arm64": {
        "release": r"\bstlr\b|\bstlx?r\b",
        "acquire": r"\b(ldar|ldapr)\b",
        "release addition": r"\b(ldaddl|ldaddal|stlxr)\b|__aarch64_ldadd\d_(rel|acq_rel)\b",
        "fence": r"\bdmb\s+ish\b",
    },
    "armhf": {
        "release": r"\bdmb\s+ish\b(?s:.*)\b(str(\.w)?|strexd?|strd)\b",
        "acquire": r"\b(ldr(\.w)?|ldrd|ldrexd)\b(?s:.*)\bdmb\s+ish\b",
        "release addition": r"\bdmb\s+ish\b(?s:.*)\bstrex\b",
        "fence": r"\bdmb\s+ish\b",
    },
    "riscv64": {
        "release": r"\bfence\s+(iorw|rw),o?w\b(?s:.*)\b(s[wd]|amoswap\.[wd])\b",
        "acquire": r"\bl[wd]u?\b(?s:.*)\bfence(\s+i?r,(iorw|rw))?$",
        "release addition": r"\bfence\s+(iorw|rw),o?w\b(?s:.*)\bamoadd\.[wd]\b|\bamoadd\.[wd]\.(rl|aqrl)\b",
        "fence": r"\bfence(\s+(iorw,iorw|rw,rw))?$",
    },
}  # fmt: skip


def points_of(path, text):
    """Every place of a source that asks for an order."""
    for match in POINT.finditer(text):
        if match["fence"]:
            kind = "fence"
        elif match["operation"] == "fetch_add":
            kind = "release addition"
        else:
            kind = "acquire" if match["operation"] == "load" else "release"
        first, last = (text.count("\n", 0, at) + 1 for at in match.span())
        yield Point(path, first, last, kind)


def all_points():
    points = []
    for folder in FOLDERS:
        for source in sorted((ROOT / folder).rglob("*")):
            path = str(source.relative_to(ROOT))
            if source.suffix in (".h", ".cc") and path not in LEFT_OUT:
                points += points_of(path, source.read_text())
    return points


INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\t(?:[0-9a-f]{2,8} ?)+\s*\t?(?P<text>.*)")
RELOCATION = re.compile(r"^\s*[0-9a-f]+: R_\w+\s+(?P<name>\S+)")
PLACE = re.compile(r"^(?:inlined by )?(?P<file>/\S+?):(?P<line>\d+)(?: |$)")
FUNCTION = re.compile(r"^[0-9a-f]+ <(?P<name>[^.].*)>:$")  # not RISC-V's local labels


def instructions(objdump, obj):
    """(instruction, the places it stands for: innermost first) of an object, in the order of addresses."""
    listing = subprocess.run([objdump, "-d", "-r", "-l", "--inlines", str(obj)], capture_output=True, text=True, check=True).stdout
    function, places, fresh = "", [], True
    for line in listing.splitlines():
        if match := FUNCTION.match(line):
            function, places, fresh = match["name"], [], True
        elif match := PLACE.match(line):
            if fresh:
                # An innermost place that has not changed is not said again.
                places = [] if not line.startswith("inlined") else places[:1]
                fresh = False
            places = [*places, (match["file"], int(match["line"]))]
        elif match := INSTRUCTION.match(line):
            fresh = True
            yield match["text"].strip(), function, tuple(places)
        elif match := RELOCATION.match(line):
            yield match["name"], function, tuple(places)


def occurrences(objdump, obj, points):
    """Of each point, each place where it was inlined: (point, place) -> its instructions, one a line."""
    found = collections.defaultdict(list)
    for text, function, places in instructions(objdump, obj):
        for depth, (file, line) in enumerate(places):
            for point in points:
                if point.first <= line <= point.last and file.endswith("/" + point.file):
                    found[point, (function, places[depth:])].append(text)
    return {key: "\n".join(lines) for key, lines in found.items()}


def judge(options, objects, points):
    """(what is wrong, how often each point was seen)"""
    wrong, seen = [], collections.Counter()
    for obj in objects:
        for (point, (function, _)), text in occurrences(options.objdump, obj, points).items():
            seen[point] += 1
            if not re.search(PATTERNS[options.architecture][point.kind], text, re.MULTILINE):
                shown = text.replace("\n", "; ")
                wrong.append((point, f"{point.file}:{point.first}: no {point.kind} in {function} of {obj.name}: {shown}"))
    return wrong, seen


def compile_commands(build):
    """source -> (arguments, object, folder)"""
    commands = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        folder = pathlib.Path(entry["directory"])
        source = pathlib.Path(entry["file"])
        if source.is_relative_to(ROOT) and str(source.relative_to(ROOT)) in OBJECTS:
            arguments = shlex.split(entry["command"])
            obj = folder / arguments[arguments.index("-o") + 1]
            if "_shared" not in str(obj) and "_steps" not in str(obj):
                commands[str(source.relative_to(ROOT))] = (arguments, obj, folder)
    missing = set(OBJECTS) - commands.keys()
    assert not missing, f"{build}/compile_commands.json does not say how these are compiled: {sorted(missing)}"
    return commands


def weakened(text, point):
    """The source with one point taken out."""
    lines = text.splitlines(keepends=True)
    part = "".join(lines[point.first - 1 : point.last])
    weak = re.sub(r"memory_order_(release|acquire|acq_rel|seq_cst)", "memory_order_relaxed", part).replace("full_fence();", "")
    assert weak != part, point
    return "".join([*lines[: point.first - 1], weak, *lines[point.last :]])


def mutant_is_caught(options, commands, point, source):
    """Compiles `source` once more with the point weakened; true if the judge points at it, or misses it."""
    arguments, _, folder = commands[source]
    with tempfile.TemporaryDirectory(prefix="spillway-mutant-") as scratch:
        copy = pathlib.Path(scratch) / point.file
        copy.parent.mkdir(parents=True)
        copy.write_text(weakened((ROOT / point.file).read_text(), point))
        obj = pathlib.Path(scratch) / "mutant.o"
        command = [argument for argument in arguments if not argument.endswith("ccache")]
        command[command.index("-o") + 1] = str(obj)
        if point.file == source:
            command[command.index("-c") + 1] = str(copy)
        else:  # a header: found first in the copy's room
            room = point.file.partition("/include/")[0] + "/include" if "/include/" in point.file else ""
            command.insert(1, f"-I{pathlib.Path(scratch) / room}")
        subprocess.run(command, cwd=folder, check=True)
        wrong, seen = judge(options, [obj], [point])
        return bool(wrong) or not seen[point]


def chosen_mutants(points, where, every):
    """One of each kind, or all."""
    taken = set()
    for point in points:
        if every or point.kind not in taken or point.file.endswith("posix_mapping.cc"):
            taken.add(point.kind)
            yield point, where[point]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--architecture", required=True, choices=sorted(PATTERNS))
    parser.add_argument("--objdump", required=True)
    parser.add_argument("--every-mutant", action="store_true")
    options = parser.parse_args()
    points, commands = all_points(), compile_commands(options.build)
    wrong, where, times = [], {}, 0
    for source, (_, obj, _) in commands.items():
        bad, seen = judge(options, [obj], points)
        wrong += [text for _, text in bad]
        times += sum(seen.values())
        where.update({point: source for point in seen if point not in where})
    unseen = [f"{point.file}:{point.first}: a {point.kind} that no object shows" for point in points if point not in where]
    if wrong or unseen:
        sys.exit("\n".join([*wrong, *unseen]))
    print(f"{options.architecture}: {len(points)} points, {times} times in {len(commands)} objects, each as its order asks")
    mutants = list(chosen_mutants(points, where, options.every_mutant))
    escaped = [f"{point.file}:{point.first} weakened in {source}" for point, source in mutants
               if not mutant_is_caught(options, commands, point, source)]  # fmt: skip
    if escaped:
        sys.exit("not found out:\n" + "\n".join(escaped))
    print(f"{len(mutants)} weakened points found out")


if __name__ == "__main__":
    main()
