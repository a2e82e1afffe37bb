"""The house rules' check catches each breach it is there for: a check that cannot fail is a defect."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from check_style import breaches  # noqa: E402

HEADER = "// What it is for.\n#pragma once\n"


class HouseRules(unittest.TestCase):
    def breaches_in(self, path, text):
        return [what for _, what in breaches(path, text)]

    def test_an_include_that_points_up_or_across_is_caught(self):
        for path, included in [
            ("core/spill/a.cc", "shm/lane/lane.h"),
            ("core/spill/a.cc", "spillway/producer.h"),
            ("shm/lane/a.cc", "edge-agent/drain/drain.h"),
            ("uplink/session/a.cc", "edge-agent/drain/drain.h"),
            ("uplink/session/a.cc", "shm/lane/lane.h"),
            ("uplink/session/a.cc", "spillway/producer.h"),
            ("edge-agent/drain/a.cc", "uplink/session/session.h"),
            ("uplink/consumer/a.cc", "spillway/shm/lane_reader.h"),
            ("core/spill/a.cc", "tests/core/helper.h"),
        ]:
            with self.subTest(path=path, included=included):
                self.assertEqual(len(self.breaches_in(path, f'#include "{included}"\n')), 1)

    def test_an_include_that_points_down_is_fine(self):
        for path, included in [
            ("shm/lane/a.cc", "core/format/checksum.h"),
            ("edge-agent/drain/a.cc", "spillway/shm/lane_reader.h"),
            ("edge-agent/cli/a.cc", "spillway/producer.h"),
            ("uplink/session/a.cc", "spillway/core/stream_reader.h"),
            ("uplink/consumer/a.cc", "spillway/producer.h"),
            ("core/spill/a.cc", "sys/mman.h"),
            ("tests/system/a.cc", "uplink/session/session.h"),
        ]:
            with self.subTest(path=path, included=included):
                self.assertEqual(self.breaches_in(path, f'#include "{included}"\n'), [])

    def test_headers_without_guard_or_opening_comment_are_caught(self):
        self.assertEqual(self.breaches_in("core/a.h", HEADER), [])
        self.assertEqual(len(self.breaches_in("core/a.h", "#pragma once\n")), 1)
        self.assertEqual(len(self.breaches_in("core/a.h", "// What it is for.\n")), 1)

    def test_each_rule_about_lines_is_caught(self):
        registry = "deb" + ".debian.org"
        for text in ["int a;\t// x\n", "int a; \n", "// TO" + "DO: later\n", "int a;", f"// {registry}\n", "// see iss" + "ue #7\n", "int a;\n" * 501]:
            with self.subTest(text=text[:30]):
                self.assertEqual(len(self.breaches_in("core/a.cc", text)), 1)
        self.assertEqual(self.breaches_in("core/a.cc", "// TO" + "DO(needs zstd 1.6): frames without a checksum\n"), [])


if __name__ == "__main__":
    unittest.main()
