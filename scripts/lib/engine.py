"""A Docker engine of our own, from Debian's packages: nothing is installed, and nothing of it is left."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from lib.machine import EMULATOR_SUITE, HOME
from lib.pythons import Apt, Failure, make_once, note, unpack_part

PACKAGES = ["docker.io", "containerd", "runc", "tini"]
PROGRAMS = HOME / "engine"
READY = 60  # seconds; it takes three


class Absent(Failure):
    """This machine runs no engine, which is no fault of what is tested."""


class Engine:
    """Runs while it is entered; `engine(...)` is the `docker` command with it."""

    def __enter__(self):
        if os.getuid() != 0:
            raise Absent("an engine of one's own needs root")
        prepare()
        self.folder = Path(tempfile.mkdtemp(prefix="aiospy-engine-"))
        self.log = open(str(self.folder / "log"), "w+b")
        folders = [PROGRAMS / part for part in ("usr/bin", "usr/sbin")]
        self.variables = dict(
            os.environ, PATH=os.pathsep.join([str(part) for part in folders] + [os.environ.get("PATH", os.defpath)]),
            DOCKER_HOST="unix://%s/docker.sock" % self.folder, DOCKER_CONFIG=str(self.folder))
        self.daemon = subprocess.Popen(
            ["dockerd", "--iptables=false", "--bridge=none", "--storage-driver=vfs", "--data-root", str(self.folder / "data"),
             "--exec-root", str(self.folder / "exec"), "-H", self.variables["DOCKER_HOST"],
             "--pidfile", str(self.folder / "pid")],
            env=self.variables, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait(self):
        until = time.monotonic() + READY
        while self.ask("version").returncode:
            if self.daemon.poll() is not None or time.monotonic() > until:
                self.log.seek(0)
                said = self.log.read().decode(errors="replace").strip().splitlines()
                raise Absent("no engine runs here: " + (said or ["it said nothing"])[-1])
            time.sleep(0.1)

    def __exit__(self, *_):
        if self.daemon.poll() is None:
            running = self.ask("ps", "-q").stdout.split()
            if running:
                self.ask("rm", "-f", *running)
            self.daemon.terminate()
            try:
                self.daemon.wait(30)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
        self.log.close()
        shutil.rmtree(str(self.folder), ignore_errors=True)

    def ask(self, *arguments, **options):
        """Its exit code, and what it said to both."""
        return subprocess.run(
            ["docker"] + [str(word) for word in arguments], env=self.variables, stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=120, **options)

    def __call__(self, *arguments, **options):
        done = self.ask(*arguments, **options)
        if done.returncode:
            raise Failure("docker %s: %s" % (" ".join(str(word) for word in arguments), done.stdout.strip()))
        return done.stdout.strip()

    def take_in(self, root, name, *without):
        """Makes an image of a folder."""
        leave_out = ["--exclude=" + pattern for pattern in without]
        with subprocess.Popen(["tar", *leave_out, "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
            self("import", "-", name, stdin=tar.stdout)


def prepare():
    make_once(PROGRAMS, unpack_programs)


def unpack_programs(new):
    note("unpacking a Docker engine")
    apt = Apt(EMULATOR_SUITE)
    for package in PACKAGES:
        unpack_part(package, "./usr", new, apt)
