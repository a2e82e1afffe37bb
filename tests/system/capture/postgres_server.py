"""A PostgreSQL of the test's own: its folder, its port on loopback, its life. Not as root: the server refuses that."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from harness import free_port, wait_until  # noqa: E402

PROGRAMS = pathlib.Path("/usr/lib/postgresql/15/bin")
NOBODY = 65534


def is_there():
    return (PROGRAMS / "postgres").exists()


class PostgresServer:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="spillway-postgres-"))
        self.data = self.folder / "data"
        self.port = free_port()
        self.process = None
        if os.geteuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)
        self.folder.chmod(0o755)
        self.run("initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C")
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as settings:
            settings.write("wal_level = logical\nmax_connections = 40\nshared_buffers = 32MB\nmax_wal_size = 512MB\n"
                           "checkpoint_timeout = 30s\nwal_sender_timeout = 20s\n")  # fmt: skip

    @property
    def url(self):
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @staticmethod
    def unprivileged(command):
        if os.geteuid() != 0:
            return command
        return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command]

    def run(self, program, *arguments):
        command = self.unprivileged([str(PROGRAMS / program), *map(str, arguments)])
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, timeout=120)

    def start(self):
        # A killed server's children may still hold the data for a moment.
        command = self.unprivileged([str(PROGRAMS / "postgres"), "-D", str(self.data), "-p", str(self.port), "-h", "127.0.0.1",
                                     "-k", str(self.folder)])  # fmt: skip

        def up():
            if self.process is None or self.process.poll() is not None:
                with open(self.folder / "postgres.log", "ab") as log:
                    self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
            return subprocess.run([str(PROGRAMS / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False,
                                  timeout=20).returncode == 0  # fmt: skip

        wait_until(up, "PostgreSQL to answer", pause_s=0.1)
        return self

    def kill(self):
        """kill -9 of the postmaster; its children end by themselves when they see that it is gone."""
        self.process.kill()
        self.process.wait()

    def sql(self, text, check=True):
        result = subprocess.run([str(PROGRAMS / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.url], input=text,
                                capture_output=True, text=True, check=False, timeout=120)  # fmt: skip
        if check and result.returncode != 0:
            raise RuntimeError(result.stderr)
        return result.stdout.strip()

    def own(self, folder):
        """Its files belong to the server, also those that a test has copied."""
        if os.geteuid() == 0:
            for path in [folder, *folder.rglob("*")]:
                os.chown(path, NOBODY, NOBODY)

    def close_process(self, how=signal.SIGINT):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def close(self):
        self.close_process(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()
