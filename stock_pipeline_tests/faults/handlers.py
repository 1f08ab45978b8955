"""The Lambda functions' own handlers, loaded once, and connected to the simulator's buckets while a world exists."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any
from unittest.mock import patch

from stock_pipeline.local.folders import CHECKOUT

STAGING, LAKE = "staging", "lake"


class _Silent:
    """A logger and metrics that nobody reads."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None


@cache
def load(function: str) -> ModuleType:
    """A function's handler module, in an environment that holds only what it needs."""
    path = CHECKOUT / "lambdas" / function / "handler.py"
    spec = importlib.util.spec_from_file_location(f"simulated_{function}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("STOCK_PIPELINE", "AWS_"))}
    environment |= {
        "AWS_DEFAULT_REGION": "us-east-1",
        "STOCK_PIPELINE_STAGING_BUCKET": STAGING,
        "STOCK_PIPELINE_LAKE_BUCKET": LAKE,
        "POWERTOOLS_SERVICE_NAME": function,
    }
    with patch.dict(os.environ, environment, clear=True):
        spec.loader.exec_module(module)
    return module


@contextmanager
def patched(*places: tuple[object, dict[str, Any]]) -> Iterator[None]:
    """Attributes of objects set for as long as the block lasts; each must be there already."""
    before: list[tuple[object, str, Any]] = []
    try:
        for target, values in places:
            for name, value in values.items():
                before.append((target, name, getattr(target, name)))
                setattr(target, name, value)
        yield
    finally:
        for target, name, value in reversed(before):
            setattr(target, name, value)


def batch() -> ModuleType:
    return load("process_batch_stock_data")


def stream() -> ModuleType:
    return load("process_stock_stream_data")


SILENT: Any = _Silent()
