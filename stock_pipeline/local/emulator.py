"""The emulator as a process: how to start it, and when it is ready."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import time
from pathlib import Path

from stock_pipeline.errors import LocalAwsError
from stock_pipeline.local.folders import LocalFolders, private
from stock_pipeline.local.stack import REGION

# The folder comes last on the path, so that none of its modules hides one that the emulator imports.
_PROGRAM = "import sys; sys.path.append(sys.argv.pop(1)); from gateway.__main__ import main; main()"
_READY = "/_ministack/ready"
_READY_WITHIN = 30.0  # seconds
_POLL = 0.02
_LOG_LINES = 20


def spawn(
    folders: LocalFolders,
    tools: LocalFolders,
    listening: socket.socket,
    port: int,
    key: str,
    *,
    enforce_iam: bool = False,
) -> subprocess.Popen[bytes]:
    """Start the emulator for `folders`, with the packages installed in `tools`, on a listening socket of its own.

    It gets its own process group, which the functions' processes share. It answers who has the key. With `enforce_iam`,
    it checks each call against the policies of the caller's role. Raises LocalAwsError.
    """
    command = [str(tools.python), "-P", "-c", _PROGRAM, str(Path(__file__).parent)]
    command += ["--socket", str(listening.fileno())]
    command += ["--instance-lock", str(folders.instance_lock), "--users-lock", str(folders.users_lock)]
    environ = {
        # An allowlist: the functions inherit these variables and must not see or need any other of the user.
        **{name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ},
        "HOME": str(folders.temporary),
        "TMPDIR": str(folders.temporary),
        "PYTHONUNBUFFERED": "1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        "LAMBDA_EXECUTOR": "local",
        "LAMBDA_ACCOUNT_CONCURRENCY": "1000",  # an account's quota; a call beyond it is refused, as in AWS
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folders.objects),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": key,
        "DOCKER_HOST": "unix:///nonexistent",  # else the emulator looks for its own containers, to remove them
    }
    if enforce_iam:
        environ["AUTH"] = "true"
    with private(folders.log) as log:
        try:
            return subprocess.Popen(  # noqa: S603 - the emulator's own interpreter and program
                command, env=environ, cwd=folders.temporary, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=[listening.fileno()], start_new_session=True, umask=0o077,
            )  # fmt: skip
        except OSError as error:
            raise LocalAwsError(
                f"cannot run {tools.python} ({error.strerror}); delete {tools.venv} and try again"
            ) from error


def wait_until_ready(process: subprocess.Popen[bytes], port: int, folders: LocalFolders) -> None:
    """Return once the emulator answers. Raises LocalAwsError, with the end of its log, when it ends or is too slow."""
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LocalAwsError(f"the local AWS ended while starting; the end of {folders.log}:\n{_tail(folders.log)}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("GET", _READY)
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            pass  # not listening yet
        finally:
            connection.close()
        time.sleep(_POLL)
    raise LocalAwsError(f"the local AWS was not ready within {_READY_WITHIN:.0f} s; the end of {folders.log}:\n"
                        f"{_tail(folders.log)}")  # fmt: skip


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
