"""The `spillway` command against a running agent, and against wrong input."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import machine
from machine import Machine, wait_for

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "system/format_script"))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "system"))
import exposition  # noqa: E402
from newer_version import make_newer  # noqa: E402


class Metrics(Machine):
    def test_without_an_agent_they_say_that_it_is_down(self):
        self.queue.mkdir(parents=True, exist_ok=True)
        result = self.run_program("status", "--prometheus", "--config", self.config)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertEqual({frozenset(): 0.0}, exposition.read(result.stdout)["spillway_agent_up"])

    def test_they_are_one_form_of_two(self):
        self.assertEqual(self.run_program("status", "--prometheus", "--json").returncode, 2)


class RoundTrip(Machine):
    def test_what_was_put_is_printed_in_order_with_its_schema(self):
        self.start_agent()
        put = self.put("sensor/x", ["one", "zwei \u00e4", ""], "--level", "power-safe", "--json")
        self.assertEqual(put.returncode, 0, put.stderr)
        self.assertEqual(
            json.loads(put.stdout),
            {"topic": "sensor/x", "accepted": 3, "process_safe": 3, "power_safe": 3, "level": "power-safe"},
        )
        tail = self.run_program("tail", "all", "--config", self.config, "--json")
        self.assertEqual(tail.returncode, 0, tail.stderr)
        records = [json.loads(line) for line in tail.stdout.splitlines()]
        self.assertEqual([r["record"]["text"] for r in records], ["one", "zwei \u00e4", ""])
        self.assertEqual([r["offset"] for r in records], [0, 1, 2])
        self.assertEqual({r["topic"] for r in records}, {"sensor/x"})
        part = self.run_program("tail", "all", "--config", self.config, "--from", 1, "-n", 1)
        self.assertEqual(len(part.stdout.splitlines()), 1)
        self.assertTrue(part.stdout.startswith("1  "), part.stdout)

    def test_json_and_flatbuffer_input(self):
        self.start_agent()
        schema = self.root / "point.fbs"
        schema.write_text("table Point { x:int; name:string; } root_type Point;")
        documents = '{"x": 7,\n "name": "a}b"}\n{"x": -1}'
        put = self.run_program(
            "put", "p", "--queue-dir", self.queue, "--input", "json", "--schema", schema,
            "--level", "process-safe", text=documents)
        self.assertEqual((put.returncode, put.stdout), (0, "accepted 2, process-safe 2\n"), put.stderr)
        raw = self.root / "raw.bin"
        raw.write_bytes(b"\x00\x01\xff not a FlatBuffer")
        put = self.run_program(
            "put", "raw", "--queue-dir", self.queue, "--input", "flatbuffer", "--file", raw,
            "--level", "process-safe")
        self.assertEqual(put.returncode, 0, put.stderr)
        tail = self.run_program("tail", "all", "--config", self.config, "--json", "--schema", schema)
        lines = [json.loads(line) for line in tail.stdout.splitlines()]
        self.assertEqual(lines[0]["record"], {"x": 7, "name": "a}b"})
        self.assertEqual(lines[1]["record"]["x"], -1)
        self.assertIn("payload", lines[2])

    def test_a_copied_spill_explains_itself(self):
        """No configuration, no queue, no schema file, another place: only the directory."""
        agent = self.start_agent()
        schema = self.root / "point.fbs"
        schema.write_text("table Point { x:int; name:string; } root_type Point;")
        put = self.run_program(
            "put", "p", "--queue-dir", self.queue, "--input", "json", "--schema", schema,
            "--level", "power-safe", text='{"x": 7, "name": "a"}{"x": -1}')
        self.assertEqual(put.returncode, 0, put.stderr)
        self.put("t", ["line"], "--level", "power-safe")
        lanes = json.loads(self.run_program("status", "--config", self.config, "--json").stdout)["agent"]["lanes"]
        agent.send_signal(signal.SIGTERM)
        self.assertEqual(agent.wait(20), 0)
        copy = self.root / "laptop"
        shutil.copytree(self.spill, copy)
        for name in (self.queue, self.spill):
            shutil.rmtree(name)
        schema.unlink()
        self.config.unlink()
        whole = self.run_program("tail", "--spill-dir", copy, "all", "--json")
        self.assertEqual(whole.returncode, 0, whole.stderr)
        records = [json.loads(line)["record"] for line in whole.stdout.splitlines()]
        self.assertEqual(records, [{"x": 7, "name": "a"}, {"x": -1}, {"text": "line"}], lanes)
        verified = self.run_program("verify", copy)
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
        alone = self.root / "alone"
        shutil.copytree(copy / "all", alone)
        stream = self.run_program("tail", alone, "--json")
        self.assertEqual((stream.returncode, stream.stdout), (0, whole.stdout), stream.stderr)

    def test_a_schema_too_large_for_a_spill_does_not_keep_the_records_out(self):
        self.start_agent()
        schema = self.root / "large.fbs"
        fields = "".join(f"some_field_with_a_long_name_{i}:int;" for i in range(2000))
        schema.write_text("table Large { %s } root_type Large;" % fields)
        put = self.run_program(
            "put", "p", "--queue-dir", self.queue, "--input", "json", "--schema", schema,
            "--level", "process-safe", text='{"some_field_with_a_long_name_7": 7}')
        self.assertEqual(put.returncode, 0, put.stderr)
        self.assertIn("65536", put.stderr)
        tail = self.run_program("tail", "all", "--config", self.config, "--json")
        self.assertIn("payload", json.loads(tail.stdout))
        tail = self.run_program("tail", "all", "--config", self.config, "--json", "--schema", schema)
        self.assertEqual(json.loads(tail.stdout)["record"]["some_field_with_a_long_name_7"], 7)

    def test_follow_prints_what_comes_later(self):
        self.start_agent()
        self.put("t", ["1"], "--level", "process-safe")
        tail = subprocess.Popen(
            [machine.BIN / "spillway", "tail", "all", "--follow", "-n", "2", "--json", "--config", self.config],
            stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end, tail)
        self.put("t", ["2"], "--level", "process-safe")
        out, _ = tail.communicate(timeout=20)
        self.assertEqual([json.loads(line)["record"]["text"] for line in out.splitlines()], ["1", "2"])

    def test_status_names_streams_and_lanes_and_a_dead_agent(self):
        agent = self.start_agent()
        self.put("t", ["1", "2"], "--level", "power-safe")
        def counted():
            out = self.run_program("status", "--config", self.config, "--json").stdout
            status = json.loads(out)
            return status if status["agent"]["counters"]["records"] == 2 else None
        status = wait_for(counted)
        self.assertTrue(status["running"])
        self.assertEqual(status["agent"]["streams"][0]["next_offset"], 2)
        agent.send_signal(signal.SIGKILL)
        agent.wait()
        result = self.run_program("status", "--config", self.config)
        self.assertEqual(result.returncode, 1)
        self.assertIn("NOT RUNNING", result.stdout)

    def test_the_flash_meter_goes_on_over_restarts(self):
        self.write_config('flash_endurance = "10TB"\n' + self.streams)
        def flash():
            status = json.loads(self.run_program("status", "--config", self.config, "--json").stdout)
            return status["agent"]["flash"]
        for round_ in (1, 2):
            agent = self.start_agent()
            self.put("t", ["x" * 1000] * 100, "--level", "power-safe")
            agent.send_signal(signal.SIGTERM)
            self.assertEqual(agent.wait(20), 0)
            # Frames of a thousand bytes and what a FlatBuffer and a frame have around them.
            self.assertEqual(flash()["enqueued_bytes"] // 100_000, round_)
        self.assertEqual(flash()["endurance_bytes"], 10**13)
        self.assertIsNone(flash()["years_left"])
        text = self.run_program("status", "--config", self.config).stdout
        self.assertRegex(text, r"flash +enqueued 2\d\d\.\d KiB; written .* years left: not known yet of 9\.1 TiB")
        # What cannot be read counts as none, and is no reason not to run.
        (self.spill / "flash").write_bytes(b"\xff" * 100)
        self.start_agent().send_signal(signal.SIGTERM)

    def test_verify_says_yes_and_after_damage_no(self):
        agent = self.start_agent()
        self.put("t", map(str, range(1000)), "--level", "power-safe")
        agent.send_signal(signal.SIGTERM)
        self.assertEqual(agent.wait(20), 0)
        good = self.run_program("verify", self.spill, "--json")
        self.assertEqual(good.returncode, 0, good.stdout + good.stderr)
        self.assertEqual(json.loads(good.stdout)["streams"][0]["records"], 1000)
        segment = sorted((self.spill / "all").glob("*.spill"))[0]
        with open(segment, "r+b") as file:
            file.seek(4096 + 8192)
            byte = file.read(1)
            file.seek(4096 + 8192)
            file.write(bytes([byte[0] ^ 1]))
        bad = self.run_program("verify", self.spill / "all")
        self.assertEqual(bad.returncode, 1, bad.stdout + bad.stderr)
        self.assertIn("DAMAGED", bad.stdout)

    def test_the_sensor_reads_this_machine(self):
        self.start_agent()
        sensor = self.run_program(
            "--queue-dir", self.queue, "--rate", 2000, "--count", 50, program="spillway-sensor")
        self.assertEqual(sensor.returncode, 0, sensor.stderr)
        self.assertIn("enqueued 50, rejected 0", sensor.stdout)
        def readings():
            out = self.run_program("tail", "all", "--config", self.config, "--json").stdout
            lines = [json.loads(line) for line in out.splitlines()]
            return lines if len(lines) == 50 else None
        lines = wait_for(readings)
        memory = [r["record"]["measurement"] for r in lines if r["topic"] == "system/memory"]
        self.assertGreater(memory[0]["total_bytes"], 1 << 20)

    def test_run_restarts_a_killed_agent_and_stops_it_with_itself(self):
        log = open(self.root / "run.log", "w", encoding="utf-8")
        run = subprocess.Popen([machine.BIN / "spillway", "run", "--config", self.config], stderr=log)
        log.close()
        self.addCleanup(self.end, run)
        def agent_pid():
            result = self.run_program("status", "--config", self.config, "--json")
            # An agent that has just locked the queue has not written its status yet.
            agent = json.loads(result.stdout)["agent"] if result.returncode == 0 else None
            return agent["pid"] if agent else None
        first = wait_for(agent_pid)
        os.kill(first, signal.SIGKILL)
        second = wait_for(lambda: (lambda pid: pid if pid != first else None)(agent_pid()))
        self.assertNotEqual(first, second)
        run.send_signal(signal.SIGHUP)  # who dies of it does not end with 0
        run.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(20), 0)
        self.assertFalse(self.is_running())


class Plan(Machine):
    usual = ("plan", "--rate", "100/s", "--record", "200", "--outage", "3d")

    def test_the_configuration_it_gives_is_accepted_and_holds_what_it_says(self):
        for more in (
            ("--link", "2Mbit/s", "--endurance", "10TB"),
            ("--sync-interval", "0", "--producers", "3000"),
            ("--record", "20MiB", "--rate", "1/h"),
            ("--rate", "1/d", "--outage", "1m"),
        ):
            arguments = dict(zip(self.usual[1::2], self.usual[2::2])) | dict(zip(more[::2], more[1::2]))
            flags = [word for pair in arguments.items() for word in pair]
            told = self.run_program("plan", *flags)
            self.assertEqual(told.returncode, 0, told.stderr)
            plan = json.loads(self.run_program("plan", *flags, "--json").stdout)
            self.assertTrue(told.stdout.endswith(plan["config"]), told.stdout)
            self.config.write_text(plan["config"])
            check = self.run_program("config", "check", self.config, "--json")
            self.assertEqual(check.returncode, 0, check.stderr + plan["config"])
            stream = json.loads(check.stdout)["streams"][0]
            self.assertEqual(stream["max_bytes"], plan["max_bytes"])
            self.assertGreaterEqual(plan["max_bytes"], plan["spill_bytes"])

    def test_a_link_too_slow_is_said_with_its_reason(self):
        slow = self.run_program(*self.usual, "--link", "64kbit/s")
        self.assertEqual(slow.returncode, 1)
        self.assertIn("NEVER", slow.stdout)
        self.assertIn("100/s come", slow.stdout)
        good = self.run_program(*self.usual, "--link", "2Mbit/s", "--endurance", "10TB")
        self.assertEqual(good.returncode, 0)
        self.assertRegex(good.stdout, r"drained +\d+ h")
        self.assertRegex(good.stdout, r"years of the stated endurance")

    def test_wrong_units(self):
        for flag, value, hint in (
            ("--rate", "100/week", "/min"), ("--rate", "-1/s", "/min"), ("--rate", "0", "/min"),
            ("--record", "2MB", "KiB"), ("--record", "0", "1 byte"), ("--record", "40MiB", "32 MiB"),
            ("--outage", "3 days", "h or d"), ("--link", "2Mb", "Mbit/s"), ("--endurance", "much", "10TB"),
            ("--sync-interval", "soon", "1s"),
        ):
            arguments = dict(zip(self.usual[1::2], self.usual[2::2])) | {flag: value}
            flags = [f"{name}={word}" for name, word in arguments.items()]
            result = self.run_program("plan", *flags)
            self.assert_one_line(result, 2, hint)
        self.assertEqual(self.run_program("plan").returncode, 2)


class WrongInput(Machine):
    def test_unknown_key(self):
        self.write_config('[[stream]]\nname = "all"\ntopic = ["#"]\n')
        self.assert_one_line(
            self.run_program("config", "check", self.config), 1, f"{self.config}:7", "topics")
        self.assert_one_line(
            self.run_program("--config", self.config, program="spillway-agent"), 2, "topics")
        self.assert_one_line(self.run_program("run", "--config", self.config), 2, "topics")

    def test_missing_configuration(self):
        self.assert_one_line(self.run_program("config", "check", self.root / "none.toml"), 1, "none.toml")

    def test_a_good_configuration_says_what_will_run(self):
        result = self.run_program("config", "check", self.config)
        self.assertEqual(result.returncode, 0)
        self.assertIn("all", result.stdout)

    def test_wrong_use_of_the_command(self):
        for arguments in [[], ["nonsense"], ["put"], ["put", "t", "--level", "sure"], ["tail"]]:
            self.assertEqual(self.run_program(*arguments).returncode, 2, arguments)
        self.assertEqual(self.run_program("--help").returncode, 0)

    def test_directory_that_cannot_be_used(self):
        # A file in the way stands for every directory that cannot be opened, also for root.
        self.spill.write_text("not a directory")
        result = self.run_program("--config", self.config, program="spillway-agent")
        self.assertEqual(result.returncode in (2, 3), True, result.stderr)
        self.assertIn(str(self.spill), result.stderr.strip().splitlines()[-1])

    def test_spill_of_a_newer_version_is_refused_and_untouched(self):
        agent = self.start_agent()
        self.put("t", ["1"], "--level", "power-safe")
        agent.send_signal(signal.SIGTERM)
        self.assertEqual(agent.wait(20), 0)
        segment = sorted((self.spill / "all").glob("*.spill"))[0]
        make_newer(segment)
        before = segment.read_bytes()
        result = self.run_program("--config", self.config, program="spillway-agent")
        self.assert_one_line(result, 2, "newer")
        self.assertEqual(segment.read_bytes(), before)
        # And no crash loop: the supervisor gives up at once.
        run = self.run_program("run", "--config", self.config, timeout=20)
        self.assertEqual(run.returncode, 2, run.stderr)

    def test_garbage_lane_is_set_aside_and_the_agent_goes_on(self):
        self.start_agent()
        (self.queue / "lanes" / "garbage.lane").write_bytes(b"x" * 20000)
        put = self.put("t", ["1"], "--level", "process-safe")
        self.assertEqual(put.returncode, 0, put.stderr)
        wait_for(lambda: list((self.queue / "quarantine").iterdir()))
        self.assertTrue(self.is_running())

    def test_record_over_the_limit(self):
        self.start_agent()
        result = self.put("t", ["x" * 70_000])
        self.assert_one_line(result, 1, "65536", "--max-record-bytes")

    def test_full_lane_without_an_agent(self):
        self.start_agent().kill()
        result = self.put("t", ["x" * 1000] * 1000, "--timeout", "0.2")
        self.assert_one_line(result, 1, "full", "agent")
        self.assertRegex(result.stdout, r"accepted 2\d\d\n")

    def test_level_not_reached_without_an_agent(self):
        agent = self.start_agent()
        agent.kill()
        agent.wait()
        result = self.put("t", ["1", "2"], "--level", "power-safe", "--timeout", "0.2", "--json")
        self.assert_one_line(result, 1, "2 of 2 accepted records are not known to be power-safe, all are accepted")
        self.assertEqual(
            json.loads(result.stdout),
            {"topic": "t", "accepted": 2, "process_safe": 0, "power_safe": 0, "level": "accepted"},
        )

    def test_second_agent_is_refused(self):
        agent = self.start_agent()
        result = self.run_program("--config", self.config, program="spillway-agent")
        self.assert_one_line(result, 2, agent.pid)

    def test_no_such_stream_and_no_queue(self):
        self.assert_one_line(self.run_program("tail", "none", "--config", self.config), 1, "none")
        self.assert_one_line(self.run_program("status", "--config", self.config), 1, "no queue directory")
        self.assert_one_line(self.put("t", ["1"]), 1, "queue")
        self.assert_one_line(self.run_program("verify", self.root), 1, "no stream")

    def test_bad_json_input(self):
        self.start_agent()
        schema = self.root / "p.fbs"
        schema.write_text("table P { x:int; } root_type P;")
        put = lambda text: self.run_program(
            "put", "p", "--queue-dir", self.queue, "--input", "json", "--schema", schema, text=text)
        self.assert_one_line(put('{"y": 1}'), 2, "JSON object 1")
        self.assert_one_line(put('[1]'), 2, "'['")
        self.assert_one_line(put('{"x": 1'), 2, "ends inside")


if __name__ == "__main__":
    machine.main()
