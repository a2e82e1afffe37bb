"""sandbox_test.py --bin DIR --probe FILE: each daemon shuts itself in, shown from inside.

A library that is loaded into the real daemons tries, when it is told to, what somebody who had taken the daemon over would
try; what the kernel answered is judged here. The same library in a daemon with sandbox = "off" shows that nothing but the
sandbox refused it.
"""

import argparse
import errno
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import World, wait_until  # noqa: E402

ARGUMENTS = None
EVERYBODY = {"execve", "process_vm_readv", "setuid", "unshare", "personality", "ptrace", "bpf", "namespace", "io_uring_setup"}
UNKNOWN = {"clone3", "newest_call", "foreign_call"}
CHANGES = ("open", "chmod", "truncate", "mkdir", "rename")


class Sandbox(unittest.TestCase):
    def setUp(self):
        self.world = World(ARGUMENTS.bin, sync_interval="20ms")
        self.addCleanup(self.world.close)
        folder = tempfile.TemporaryDirectory(prefix="spillway-outside-")
        self.addCleanup(folder.cleanup)
        self.outside = pathlib.Path(folder.name) / "file"
        self.out = self.world.root / "probe"

    def switch_off(self, config):
        text = config.read_text()
        config.write_text(text.replace("[gateway]\n", '[gateway]\nsandbox = "off"\n') if "[gateway]" in text else '[gateway]\nsandbox = "off"\n' + text)

    def start(self, daemon, *paths):
        os.environ |= {"LD_PRELOAD": str(ARGUMENTS.probe), "SANDBOX_PROBE_OUT": str(self.out), "SANDBOX_PROBE_PATHS": ":".join(map(str, paths))}
        try:
            daemon.start()
        finally:
            for key in ("LD_PRELOAD", "SANDBOX_PROBE_OUT", "SANDBOX_PROBE_PATHS"):
                del os.environ[key]

    def answers(self, pid):
        """What the kernel said to each call of this process."""

        def lines():
            return [line.split(" ") for line in self.out.read_text().splitlines() if line.startswith(f"{pid} ")]

        before = len(lines())
        os.kill(pid, signal.SIGUSR2)
        wait_until(lambda: [line for line in lines()[before:] if line[1] == "end"], "the probe's end")
        return {name: int(code) for _, name, code in lines()[before:]}

    def refused(self, answers, error, *names):
        self.assertEqual(dict.fromkeys(names, error), {name: answers.get(name) for name in names})

    def let(self, answers, *names):
        self.refused(answers, 0, *names)

    def changes(self, path):
        return [f"{change}:{path}" for change in CHANGES]

    def refused_to_everybody(self, answers):
        self.refused(answers, errno.EPERM, *EVERYBODY)
        self.refused(answers, errno.ENOSYS, *(UNKNOWN & answers.keys()))

    def put(self, level="power-safe"):
        put = self.world.command("put", "t", "--queue-dir", self.world.queue_dir, "--level", level, "--timeout", "10", input="x\n")
        self.assertEqual(0, put.returncode, put.stderr)

    def deliver(self):
        self.put()
        wait_until(lambda: self.world.acknowledged() == self.world.control()[0] > 0, f"the cursor: {self.world.uplink.log_tail()}")

    def start_all(self, *uplink_paths):
        for daemon in (self.world.agent, self.world.consumer, self.world.link):
            daemon.start()
        self.world.wait_ready()
        self.start(self.world.uplink, *uplink_paths)
        self.deliver()

    def helper(self):
        pid = self.world.uplink.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self.assertEqual(1, len(children))
        return int(children[0])

    def test_the_agent_has_no_network_and_writes_where_its_directories_are(self):
        beside = self.world.spill_dir / "probe"
        queue = self.world.queue_dir / "probe"
        self.start(self.world.agent, self.outside, beside, queue)
        self.world.wait_ready()
        self.put()
        answers = self.answers(self.world.agent.process.pid)
        self.refused(answers, errno.EACCES, "socket:inet", "socket:inet6", "socket:netlink", "socket:vsock")
        self.let(answers, "socket:unix")
        self.refused_to_everybody(answers)
        self.let(answers, *self.changes(beside), *self.changes(queue))
        self.refused(answers, errno.EACCES, f"open:{self.outside}", f"mkdir:{self.outside}")
        self.assertFalse(self.outside.exists())
        self.put()
        status = self.world.status()
        self.assertTrue(status["agent"]["sandbox"].startswith("calls: on; files: written below "), status["agent"]["sandbox"])
        self.assertEqual(0, self.world.agent.stop())

    def test_nothing_but_the_sandbox_refuses_it(self):
        self.switch_off(self.world.gateway_config)
        self.start(self.world.agent, self.outside)
        self.world.wait_ready()
        self.put()
        answers = self.answers(self.world.agent.process.pid)
        self.let(answers, "socket:unix", "socket:inet", "socket:inet6", "socket:netlink", "listen", "connect")
        self.let(answers, "execve", "process_vm_readv", "setuid", "unshare", "personality", "ptrace", *self.changes(self.outside))
        for name in ("bpf", "io_uring_setup", "clone3", "openat2", "namespace"):
            self.assertNotIn(answers[name], (0, errno.EACCES), name)
        self.assertNotEqual(errno.ENOSYS, answers["clone3"])
        self.assertEqual("calls: off; files: off", self.world.status()["agent"]["sandbox"])

    def test_the_uplink_writes_nothing_but_its_own_files(self):
        cursor = self.world.spill_dir / "telemetry" / "cursors" / "cloud"
        control = self.world.spill_dir / "telemetry" / "control"
        self.start_all(self.outside, cursor, control)
        before = control.stat()
        answers = self.answers(self.world.uplink.process.pid)
        self.let(answers, "socket:inet", "socket:inet6", "socket:netlink", "socket:unix", "connect")
        self.refused(answers, errno.EACCES, "socket:vsock", *self.changes(cursor), *self.changes(control), *self.changes(self.outside))
        self.refused(answers, errno.EPERM, "listen")
        self.refused(answers, errno.ENOSYS, "openat2")
        self.refused_to_everybody(answers)
        self.assertEqual(before.st_mode, control.stat().st_mode)
        self.deliver()  # and the cursor moves all the same
        status = wait_until(lambda: (self.world.status() or {}).get("uplinks"), "the uplink's status")[0]
        self.assertEqual("calls: on; files: read only", status["sandbox"])
        text = self.world.command("status", "--config", self.world.gateway_config).stdout
        self.assertIn("sandbox  uplink cloud: calls: on; files: read only\n", text)
        self.assertEqual(0, self.world.uplink.stop())

    def test_the_uplinks_helper_has_no_network_and_goes_with_it(self):
        self.start_all()
        helper = self.helper()
        answers = self.answers(helper)
        self.refused(answers, errno.EACCES, "socket:inet", "socket:inet6", "socket:netlink")
        self.refused_to_everybody(answers)
        self.world.uplink.kill()
        wait_until(lambda: not pathlib.Path(f"/proc/{helper}").exists(), "the helper's end")
        self.world.uplink.start()
        self.deliver()
        # What stops a service is sent to all its processes.
        os.kill(self.helper(), signal.SIGTERM)
        self.deliver()
        os.kill(self.helper(), signal.SIGKILL)
        self.assertEqual(3, self.world.uplink.process.wait(20), self.world.uplink.log_tail())
        self.assertIn("the process that opens files", self.world.uplink.log_tail())

    def test_a_spill_that_comes_anew_is_written_to_all_the_same(self):
        self.start_all()
        self.world.agent.stop()
        subprocess.run(["rm", "-r", self.world.spill_dir], check=True)
        self.world.agent.start()
        wait_until(lambda: (self.world.spill_dir / "telemetry" / "cursors" / "cloud").exists(), "a cursor in the new spill")
        self.deliver()

    def test_the_consumer_writes_where_its_inbox_is(self):
        beside = self.world.root / "beside"
        self.start(self.world.consumer, self.outside, beside)
        for daemon in (self.world.agent, self.world.link):
            daemon.start()
        self.world.wait_ready()
        self.world.uplink.start()
        self.deliver()
        answers = self.answers(self.world.consumer.process.pid)
        self.let(answers, "socket:inet", "socket:inet6", "listen", *self.changes(beside))
        self.refused(answers, errno.EACCES, "socket:vsock", f"open:{self.outside}", f"mkdir:{self.outside}")
        self.refused_to_everybody(answers)
        self.deliver()
        self.assertIn("sandbox: calls: on", self.world.consumer.log_tail(100))

    def test_a_consumer_and_an_uplink_without_it(self):
        self.switch_off(self.world.gateway_config)
        self.switch_off(self.world.consumer_config)
        self.start(self.world.consumer, self.outside)
        for daemon in (self.world.agent, self.world.link):
            daemon.start()
        self.world.wait_ready()
        self.start(self.world.uplink, self.outside)
        self.deliver()
        pid = self.world.uplink.process.pid
        self.assertEqual("", pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text())
        for daemon in (self.world.consumer, self.world.uplink):
            answers = self.answers(daemon.process.pid)
            self.let(answers, "execve", "listen", "ptrace", *self.changes(self.outside))

    def test_a_changed_key_needs_a_restart_and_a_wrong_one_is_named(self):
        self.world.agent.start()
        self.world.wait_ready()
        self.put()
        self.switch_off(self.world.gateway_config)
        self.world.agent.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "[gateway] sandbox has changed" in self.world.agent.log_tail(), "the log to say so")
        self.world.gateway_config.write_text(self.world.gateway_config.read_text().replace('sandbox = "off"', 'sandbox = "maybe"'))
        check = self.world.command("config", "check", self.world.gateway_config)
        self.assertEqual(1, check.returncode)
        self.assertIn('sandbox must be "on" or "off"', check.stdout + check.stderr)

    def test_on_a_kernel_without_it_the_agent_says_so_and_goes_on(self):
        # No kernel without is at hand: the calls that would put it in force fail as they do there.
        trace = ["strace", "-D", "-f", "-qq", "-e", "trace=seccomp,landlock_create_ruleset", "-e", "inject=seccomp:error=EINVAL", "-e", "inject=landlock_create_ruleset:error=ENOSYS"]
        self.world.agent.command = [*trace, "-o", "/dev/null", *self.world.agent.command]
        self.world.agent.start()
        self.world.wait_ready()
        self.put()
        sandbox = json.loads((self.world.queue_dir / "agent.status").read_text())["sandbox"]
        self.assertIn("calls: off: this kernel takes no filter of system calls", sandbox)
        self.assertIn("files: off: this kernel offers no Landlock", sandbox)


def main():
    global ARGUMENTS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--probe", required=True, type=pathlib.Path)
    ARGUMENTS, rest = parser.parse_known_args()
    ARGUMENTS.probe = ARGUMENTS.probe.resolve()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
