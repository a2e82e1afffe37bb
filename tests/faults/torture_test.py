"""torture_test.py --spillway BIN: `spillway torture` finds nothing wrong on a disk that works, and finds what is taken from it."""

import argparse
import json
import pathlib
import subprocess
import tempfile
import time
import unittest

SPILLWAY = None
WATCHDOG_S = 60.0


def run(folder, *more):
    command = [SPILLWAY, "torture", folder, "--json", *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=WATCHDOG_S, check=False)


class Torture(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def test_a_good_disk_is_good_and_nothing_is_left_behind(self):
        (self.folder / "mine").write_text("not yours")
        result = run(self.folder, "--minutes", "0.08", "--seed", "5")
        self.assertEqual(0, result.returncode, result.stdout + result.stderr)
        report = json.loads(result.stdout)
        self.assertGreater(report["kills"], 5)
        self.assertGreater(report["records_read"], 100)
        self.assertGreater(report["sync_ms"]["count"], 0)
        self.assertEqual(5, report["seed"])
        self.assertEqual(["mine"], [path.name for path in self.folder.iterdir()])

    def test_a_record_that_goes_missing_is_found_and_what_was_found_is_kept(self):
        with subprocess.Popen([SPILLWAY, "torture", self.folder, "--json", "--minutes", "1"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:  # fmt: skip
            self.addCleanup(process.kill)
            until = time.monotonic() + WATCHDOG_S
            # The thief: a middle segment's block is blanked where nobody looked yet.
            while process.poll() is None and time.monotonic() < until:
                segments = sorted(self.folder.glob("*/spill/torture/0*.spill"))
                if len(segments) > 3:
                    with open(segments[-2], "r+b") as file:
                        file.seek(64 * 1024)
                        file.write(bytes(16 * 1024))
                time.sleep(0.05)
            text, errors = process.communicate(timeout=WATCHDOG_S)
        self.assertEqual(1, process.returncode, text + errors)
        report = json.loads(text)
        self.assertFalse(report["ok"])
        self.assertTrue(report["failures"])
        self.assertTrue(pathlib.Path(report["kept_directory"]).is_dir())

    def test_wrong_use_is_told(self):
        self.assertNotEqual(0, run(self.folder / "absent").returncode)
        self.assertEqual(2, run(self.folder, "--minutes", "0").returncode)
        self.assertEqual([], list(self.folder.iterdir()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spillway", required=True)
    options, rest = parser.parse_known_args()
    SPILLWAY = options.spillway
    unittest.main(argv=[__file__, *rest])
