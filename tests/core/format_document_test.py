"""docs/format.md, core/format.fbs and the offsets that core/format/layout.cc pins at compile time say the same.

format_document_test.py REPOSITORY. Each table of the page is compared field by field; the page's worked example is compared
byte by byte with what the example's script makes.
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from fbs_layout import layout  # noqa: E402

ROOT = pathlib.Path(sys.argv.pop(1)) if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs/format.md").read_text()
STRUCTS, ENUMS = layout((ROOT / "core/format.fbs").read_text())
PINNED_IN = ["core/format/layout.cc", "core/include/spillway/core/format.h", "core/include/spillway/core/frame.h"]
PINS = "".join((ROOT / name).read_text() for name in PINNED_IN)
ROW = re.compile(r"^\| (\d+) \| (\d+) \| `(\w+)` \| ([\w\[\]]+) \|", re.MULTILINE)


def documented_structs():
    """{name: (size, [(offset, size, field, type)])} from the page's tables."""
    found = {}
    for part in re.split(r"^#### ", PAGE, flags=re.MULTILINE)[1:]:
        heading = re.match(r"`(\w+)`: (\d+) bytes", part)
        if heading:
            table = part.split("\n\n")[1]
            found[heading[1]] = (int(heading[2]), [(int(a), int(s), n, t) for a, s, n, t in ROW.findall(table)])
    return found


class FormatDocument(unittest.TestCase):
    def test_every_struct_of_the_schema_has_a_table_and_no_other(self):
        self.assertEqual(sorted(documented_structs()), sorted(STRUCTS))

    def test_every_field_stands_where_the_page_says(self):
        for name, (size, rows) in documented_structs().items():
            with self.subTest(struct=name):
                struct = STRUCTS[name]
                self.assertEqual(rows, [(f.offset, f.size, f.name, f.type_name) for f in struct.fields])
                self.assertEqual(size, struct.size)

    def test_the_compiler_pins_the_same_offsets_and_sizes(self):
        pins = {(s, f): int(at) for s, f, at in re.findall(r"SPILLWAY_PIN\((\w+), (\w+)_, (\d+)\)", PINS)}
        sizes = {s: int(n) for s, n in re.findall(r"sizeof\(format::(\w+)\) == (\d+)", PINS)}
        for name, (size, rows) in documented_structs().items():
            with self.subTest(struct=name):
                self.assertEqual({field: at for at, _, field, _ in rows},
                                 {field: at for (struct, field), at in pins.items() if struct == name})  # fmt: skip
                # FrameHeader's and BlockHeader's sizes are pinned to named constants of the same header.
                constant = re.search(rf"sizeof\(format::{name}\) == (k\w+)", PINS)
                pinned = int(re.search(rf"{constant[1]} = (\d+)", PINS)[1]) if constant else sizes[name]
                self.assertEqual(size, pinned)

    def test_every_enum_value_has_its_name(self):
        documented = {name: {int(v): key for v, key in re.findall(r"(\d+) = (\w+)", values)}
                      for name, values in re.findall(r"^`(\w+)`: (\d+ = [^.]*)\.", PAGE, re.MULTILINE)}  # fmt: skip
        self.assertEqual(documented, ENUMS)

    def test_the_worked_example_is_what_the_script_makes(self):
        script = ROOT / "tests/system/format_script/make_segment.py"
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, script, folder], check=True)
            (segment,) = pathlib.Path(folder).glob("*.spill")
            made, name = segment.read_bytes(), segment.name
        shown = bytearray(len(made))
        for at, row in re.findall(r"^([0-9a-f]{5})  ((?:[0-9a-f]{2} +){15}[0-9a-f]{2})$", PAGE, re.MULTILINE):
            shown[int(at, 16) : int(at, 16) + 16] = bytes.fromhex(row)
        self.assertIn(f"`{name}`, {len(made):,} bytes", PAGE)
        self.assertEqual(bytes(shown), made)


if __name__ == "__main__":
    unittest.main()
