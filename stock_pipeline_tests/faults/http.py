"""The wire for the real S3Store: this process answers its requests, with faults.

So botocore's own part is in the test: how it parses errors, which requests it sends again and how often, and how
S3Store handles the remaining errors.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from email.utils import format_datetime
from functools import cache, partial
from itertools import groupby
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import botocore.endpoint
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from botocore.retries import quota

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.errors import ObjectNotFound, PreconditionFailed
from stock_pipeline.lake.object_store import ObjectInfo, StoredObject
from stock_pipeline_tests.faults.hub import Hub
from stock_pipeline_tests.faults.wire import Fault, NoReply, Status, Wire

ENDPOINT = "http://127.0.0.1:9"  # the discard port: nothing answers there, should a request slip through
_ENVIRONMENT = {
    "AWS_ENDPOINT_URL": ENDPOINT,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",  # pragma: allowlist secret
}
_CODES = {429: "TooManyRequests", 500: "InternalError", 503: "SlowDown", 409: "ConditionalRequestConflict",
          412: "PreconditionFailed", 404: "NoSuchKey"}  # fmt: skip


class _Raw(io.BytesIO):
    def stream(self, amt: int = 1024, **_: object) -> Iterator[bytes]:
        yield self.read()


def connect(wire: Wire) -> S3Store:
    """The real store, as a Lambda function makes it, on a wire; only one for each bucket at a time."""
    store = _store(wire.bucket.bucket)
    events = store._client.meta.events
    events.unregister("before-send.s3", unique_id="wire")
    events.register_first("before-send.s3", _Answers(wire).answer, unique_id="wire")
    return store


@cache
def _store(bucket: str) -> S3Store:
    """One client serves many worlds, as making one takes longer than most of their ingests.

    botocore allows a client a number of repeated requests that one world never comes near; many together must not.
    """
    unlimited = partial(quota.RetryQuota, initial_capacity=10**9)
    with patch.dict(os.environ, _ENVIRONMENT), patch.object(quota, "RetryQuota", unlimited):
        return S3Store(bucket)


def waiting(hub: Hub) -> tuple[object, dict[str, Any]]:
    """What lets botocore wait in simulated time before it sends again; see `handlers.patched`."""
    return botocore.endpoint, {"time": SimpleNamespace(sleep=lambda _: hub.pause(1))}


class _Answers:
    """Answers requests for one bucket in the place of a server."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._silent: set[str] = set()  # calls that get no answer, however often they are sent

    def answer(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        call = _text(request.headers["amz-sdk-invocation-id"])
        if call in self._silent:
            raise ConnectionClosedError(endpoint_url=request.url)
        try:
            return self._answered(request)
        except Status as error:
            return _error(request.url, error.status)
        except ObjectNotFound:
            return _error(request.url, 404)
        except PreconditionFailed:
            return _error(request.url, 412)
        except NoReply as error:
            if error.fault is Fault.TRUNCATED:
                version = parse_qs(urlsplit(request.url).query).get("versionId", [""])[0]
                whole = self._wire.bucket.get(_key(request), version=version)
                return _found(request.url, whole, whole.data[: len(whole.data) // 2])
            if error.final:
                self._silent.add(call)
            if error.fault in (Fault.TIMEOUT, Fault.TIMEOUT_AFTER):
                raise ReadTimeoutError(endpoint_url=request.url) from None
            raise ConnectionClosedError(endpoint_url=request.url) from None

    def _answered(self, request: AWSPreparedRequest) -> AWSResponse:
        if request.method == "PUT":
            match, none = (request.headers.get(name) for name in ("If-Match", "If-None-Match"))
            body = request.body if isinstance(request.body, bytes) else request.body.read()
            etag = self._wire.put(_key(request), body, _text(match).strip('"') if match else None, none is not None)
            return _reply(request.url, 200, b"", {"ETag": f'"{etag}"'})
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.url).query, True).items()}
        if _key(request):
            found = self._wire.get(_key(request), version=query.get("versionId", ""))
            return _found(request.url, found, found.data)
        if "versions" in query:
            kept = self._wire.versions(query.get("prefix", ""), query.get("key-marker", ""))
            return _reply(request.url, 200, _versions(kept), {})
        after = query.get("continuation-token") or query.get("start-after", "")
        page, more = self._wire.page(query.get("prefix", ""), after)
        return _reply(request.url, 200, _listing(page, more), {})


def _key(request: AWSPreparedRequest) -> str:
    return unquote(urlsplit(request.url).path).removeprefix("/").partition("/")[2]


def _text(header: str | bytes) -> str:
    return header.decode() if isinstance(header, bytes) else header


def _found(url: str, found: StoredObject, data: bytes) -> AWSResponse:
    headers = {
        "ETag": f'"{found.info.etag}"',
        "Last-Modified": format_datetime(found.info.modified, usegmt=True),
        "Content-Length": str(found.info.size),
    } | ({"x-amz-version-id": found.info.version} if found.info.version else {})
    return _reply(url, 200, data, headers)


def _listing(page: list[ObjectInfo], more: bool) -> bytes:
    entries = "".join(
        f'<Contents><Key>{escape(info.key)}</Key><ETag>"{info.etag}"</ETag><Size>{info.size}</Size>'
        f"<LastModified>{info.modified:%Y-%m-%dT%H:%M:%S.000Z}</LastModified></Contents>"
        for info in page
    )
    token = f"<NextContinuationToken>{escape(page[-1].key)}</NextContinuationToken>" if more else ""
    truncated = str(more).lower()
    return f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{token}{entries}</ListBucketResult>".encode()


def _versions(kept: list[ObjectInfo]) -> bytes:
    """A listing of versions, each key's newest first."""
    newest_first = [info for _, all_ in groupby(kept, lambda info: info.key) for info in reversed(list(all_))]
    entries = "".join(
        f'<Version><Key>{escape(info.key)}</Key><ETag>"{info.etag}"</ETag><Size>{info.size}</Size>'
        f"<VersionId>{info.version or 'null'}</VersionId><IsLatest>false</IsLatest>"
        f"<LastModified>{info.modified:%Y-%m-%dT%H:%M:%S.000Z}</LastModified></Version>"
        for info in newest_first
    )
    return f"<ListVersionsResult><IsTruncated>false</IsTruncated>{entries}</ListVersionsResult>".encode()


def _error(url: str, status: int) -> AWSResponse:
    body = f"<Error><Code>{_CODES[status]}</Code><Message>as told</Message></Error>".encode()
    return _reply(url, status, body, {"Content-Type": "application/xml"})


def _reply(url: str, status: int, body: bytes, headers: dict[str, str]) -> AWSResponse:
    return AWSResponse(url, status, headers, _Raw(body))
