"""What holds for all tests."""

from __future__ import annotations

from functools import cache
from typing import Any

import botocore.session
from hypothesis import settings
from moto.s3.models import S3Backend

settings.register_profile("patient", deadline=None)  # how long an example takes tells of the machine, not of the code
settings.load_profile("patient")

# A session reads the descriptions of the services, megabytes of JSON. All sessions of a test run share what was read.
botocore.session.create_loader = cache(botocore.session.create_loader)

_LISTED = S3Backend.list_object_versions


def _as_s3_lists_versions(backend: S3Backend, bucket_name: str, key_marker: str | None = None, **more: Any) -> Any:
    """S3 lists the versions of the keys after the marker. moto leaves out the first of them when the marker itself is
    not the name of an object, and lists all but one version of the marker when it is.
    """
    if key_marker is None or more.get("version_id_marker"):
        return _LISTED(backend, bucket_name, key_marker=key_marker, **more)
    versions, prefixes, deleted, *following = _LISTED(backend, bucket_name, **more | {"max_keys": None})
    after = ([found for found in some if found.name > key_marker] for some in (versions, deleted))
    return next(after), prefixes, next(after), *following


S3Backend.list_object_versions = _as_s3_lists_versions  # type: ignore[assignment, method-assign]


def pytest_make_parametrize_id(config: Any, val: object, argname: str) -> str | None:
    """Bytes are named by their argument: an archive's time stamp in a test's name would differ between processes."""
    return argname if isinstance(val, bytes) else None
