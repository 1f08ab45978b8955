"""A PostgreSQL server of a test's own, to be killed and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

DEBIAN = Path("/usr/lib/postgresql")
SERVER_USER = "postgres"
STARTS_WITHIN = 60.0  # seconds


@dataclass
class Server:
    """On a socket in a folder, and with a port on loopback as well."""

    folder: Path
    binaries: Path
    port: int | None = None
    process: subprocess.Popen[bytes] | None = None
    as_user: dict[str, Any] = field(default_factory=dict)

    def create(self) -> None:
        self.as_user = _unprivileged(self.folder)
        make = [str(self.binaries / "initdb"), "-D", str(self.folder / "data"), "-A", "trust", "-U", "dagster"]
        with self._log() as log:
            subprocess.run([*make, "--no-sync", "-E", "UTF8"], check=True, stdout=log, stderr=log, **self.as_user)

    def start(self) -> None:
        # Without a port no TCP at all: the socket lies in a folder that only this test knows.
        where = ["-h", "127.0.0.1", "-p", str(self.port)] if self.port else ["-h", ""]
        serve = [str(self.binaries / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder), *where, "-F"]
        ready = [str(self.binaries / "pg_isready"), "-h", str(self.folder), "-q", *where[2:]]
        with self._log() as log:
            self.process = subprocess.Popen(serve, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.as_user)
        deadline = time.monotonic() + STARTS_WITHIN
        while subprocess.run(ready, check=False).returncode:
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL to the server and to its process of each connection."""
        assert self.process
        top = psutil.Process(self.process.pid)
        every = [top, *top.children(recursive=True)]
        for each in every:
            each.kill()
        self.process.wait()
        psutil.wait_procs(every, timeout=STARTS_WITHIN)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # a fast end: it does not wait for those who are connected
            self.process.wait(30)

    def said(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def _log(self) -> Any:
        return (self.folder / "log").open("ab")


@contextmanager
def server(folder: Path, port: int | None = None) -> Iterator[Server]:
    """A server that runs. Skips the test where there is none, but in CI, where there must be."""
    found = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    initdb = str(found[-1]) if found else shutil.which("initdb")
    if not initdb:
        why = "PostgreSQL is not installed: apt-get install postgresql (make crash does so when it may)"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    made = Server(folder, Path(initdb).resolve().parent, port)
    made.create()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@contextmanager
def postgres(folder: Path) -> Iterator[dict[str, Any]]:
    """A server that runs, as the storage of an instance."""
    with server(folder):
        yield {"postgres": {"postgres_url": f"postgresql+psycopg2://dagster@/postgres?host={folder}"}}


def _unprivileged(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root, so its own user runs it then; the folder becomes that user's."""
    if os.geteuid():
        return {"cwd": folder}
    try:
        user = pwd.getpwnam(SERVER_USER)
    except KeyError:
        user = pwd.getpwnam("nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"cwd": folder, "user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
