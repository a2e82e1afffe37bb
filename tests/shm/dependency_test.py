#!/usr/bin/env python3
"""libspillway.so needs libc alone, and shows nothing but its public names. Usage: dependency_test.py LIBSPILLWAY_SO"""

import re
import subprocess
import sys

# The loader is part of libc (thread-local storage asks it); libgcc and libstdc++ are not to be needed.
ALLOWED = re.compile(r"^(libc\.so|ld-linux)")
PUBLIC = re.compile(r"^(spillway_|spillway::(Producer::|status_text|error_detail))")


def lines(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


library = sys.argv[1]
needed = [m.group(1) for line in lines("readelf", "-d", library)
          if (m := re.search(r"NEEDED.*\[(.*)\]", line))]
if not any(name.startswith("libc.so") for name in needed):
    sys.exit(f"readelf names no libc, so it proves nothing: {needed}")
foreign = [name for name in needed if not ALLOWED.match(name)]
if foreign:
    sys.exit(f"{library} needs {foreign}, not libc alone")
shown = [line.split(maxsplit=2)[2] for line in lines("nm", "-DC", "--defined-only", library)]
if "spillway_producer_put" not in shown:
    sys.exit(f"the C ABI is not shown: {shown}")
private = [name for name in shown if not PUBLIC.match(name)]
if private:
    sys.exit(f"{library} shows private names: {private}")
print(f"needs {needed}, shows {len(shown)} names")
