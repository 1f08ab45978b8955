"""The kernel tells whose socket is at the other end; one that was closed is nobody's."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stock_pipeline.local.gateway.peers import is_of_another_user

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the kernel has no table of sockets")

NOBODY = 65534
# Connects, sends, and closes at once if told to: what a request looks like that waits for no answer.
CONNECT = """import os, socket, sys
"x".encode("idna")  # loads what the other user may not read
os.setuid(int(sys.argv[3]))
s = socket.create_connection(("127.0.0.1", int(sys.argv[1]))); s.send(b"x")
s.close() if sys.argv[2] == "closes" else None
print("sent", flush=True); sys.stdin.read()"""


def accepted(how: str, user: int = os.getuid()) -> bool:
    """Whether a connection of another process, of this or another user, counts as another user's."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        command = [sys.executable, "-c", CONNECT, str(listening.getsockname()[1]), how, str(user)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stdout.readline() == b"sent\n"
            connection, client = listening.accept()
            with connection:
                found = is_of_another_user(client, connection.getsockname())
            process.communicate(b"")
    return found


def test_this_users_programs_are_known() -> None:
    assert not accepted("stays")


def test_a_connection_that_its_owner_has_closed_is_nobodys() -> None:
    assert accepted("closes")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("how", ["stays", "closes"])
def test_another_user_is_told_apart(how: str) -> None:
    assert accepted(how, user=NOBODY)


@pytest.mark.parametrize("client", [("127.0.0.1", 0), ("127.0.0.1", 1), ("::1", 3000), ("attacker", 3000)])
def test_an_end_that_the_kernel_does_not_know_is_nobodys(client: tuple[str, int]) -> None:
    assert is_of_another_user(client, ("127.0.0.1", 3000))
