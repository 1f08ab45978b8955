"""What holds for all tests."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

settings.register_profile("patient", deadline=None)  # how long an example takes tells of the machine, not of the code
settings.load_profile("patient")


def pytest_make_parametrize_id(config: Any, val: object, argname: str) -> str | None:
    """Bytes are named by their argument: an archive's time stamp in a test's name would differ between processes."""
    return argname if isinstance(val, bytes) else None
