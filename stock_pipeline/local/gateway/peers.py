"""Who is at the other end of a connection on this machine, where the kernel tells (Linux).

This module imports nothing but the standard library.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

_TABLE = Path("/proc/net/tcp")
_ROOT = 0


def is_of_another_user(client: tuple[str, int], server: tuple[str, int]) -> bool:
    """Whether the socket of a client, at (address, port), belongs to somebody else than this process's user or root.

    A socket that its owner has closed belongs to nobody, so it counts as another user's. Without the kernel's table the
    answer is no.
    """
    if not _TABLE.exists():
        return False
    wanted = (_in_table(client), _in_table(server))
    allowed = {os.getuid(), _ROOT}
    return not any(
        (near, far) == wanted and uid in allowed and inode for near, far, uid, inode in _sockets(_TABLE.read_text())
    )


def _sockets(table: str) -> Iterator[tuple[str, str, int, int]]:
    """The local and the remote end of each socket, the user id of its owner, and its inode (0: closed by its owner)."""
    for line in table.splitlines()[1:]:
        columns = line.split()
        yield columns[1], columns[2], int(columns[7]), int(columns[9])


def _in_table(end: tuple[str, int]) -> str:
    host, port = end
    try:
        (address,) = struct.unpack("=I", socket.inet_aton(host))
    except OSError:
        return ""  # no IPv4 address
    return f"{address:08X}:{port:04X}"
