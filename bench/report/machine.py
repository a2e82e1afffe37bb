"""What the figures were measured on."""

import os
import pathlib
import platform
import subprocess

NEAR_NS_MAX = 120.0  # half a cache-line round trip: below, the two cores share a cache; above, they do not


def regime(line):
    """'near', 'far', or 'moved' where the host moved the cores while this was measured."""
    both = {"near" if line["ping_pong"][end] < NEAR_NS_MAX else "far" for end in ("before", "after")}
    return both.pop() if len(both) == 1 else "moved"


def first_line(path, otherwise):
    try:
        return pathlib.Path(path).read_text().splitlines()[0].strip()
    except (OSError, IndexError):
        return otherwise


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.lower().startswith(("model name", "hardware")):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def virtual():
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    return "a virtual machine" if " hypervisor" in flags else "bare metal, as far as it tells"


def file_system(path):
    done = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def describe(disk):
    governor = first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "not offered by this machine")
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "machine": virtual(),
        "kernel": f"{platform.system()} {platform.release()}",
        "clock source": first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", "unknown"),
        "governor": governor,
        "disk": f"{file_system(disk)} at {os.path.relpath(disk)}",
        "load at start": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }
