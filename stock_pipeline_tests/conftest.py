"""What holds for all tests."""

from __future__ import annotations

from typing import Any


def pytest_make_parametrize_id(config: Any, val: object, argname: str) -> str | None:
    """Bytes are named by their argument: an archive's time stamp in a test's name would differ between processes."""
    return argname if isinstance(val, bytes) else None
