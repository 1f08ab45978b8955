"""The object store in S3: get, conditional put, list, versions. Nothing else in the package calls S3 for data.

The interface, `ObjectStore`, is in lake/object_store.py, so that merges need no boto3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

import boto3
import botocore
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
)

from stock_pipeline.aws.clients import client_of
from stock_pipeline.credentials import is_of_credentials, remedy_of
from stock_pipeline.errors import ObjectNotFound, PreconditionFailed, SettingsError, StoreError, StoreUnavailable
from stock_pipeline.lake.object_store import ObjectInfo, StoredObject, too_large

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CONDITIONS = {"IfMatch", "IfNoneMatch"}
"""What a compare-and-swap takes of PutObject. botocore checks arguments against its own description of S3."""

# Requests for the small objects of a stream overlap in threads; the default pool of 10 would queue them.
_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 5},
    max_pool_connections=32,
    connect_timeout=5,
    read_timeout=60,
)


# Trying again may help: the network, or the service that gives a machine its credentials, was away.
_NO_ANSWER = (ConnectionError, HTTPClientError, IncompleteReadError, MetadataRetrievalError, CredentialRetrievalError)


class S3Store:
    """A bucket in S3 (or whatever AWS_ENDPOINT_URL names). Safe to share between threads.

    Raises SettingsError when the boto3 at hand cannot write on a condition. A deployed function has the boto3 of its
    runtime, which is not pinned; so a function with an old one stops while it starts, and not at its first write.
    """

    def __init__(self, bucket: str, client: S3Client | None = None) -> None:
        self.bucket = bucket
        self._client: S3Client = client or client_of("s3", _CONFIG)
        taken: Any = self._client.meta.service_model.operation_model("PutObject").input_shape
        if missing := _CONDITIONS - set(taken.members):
            raise SettingsError(
                f"boto3 {boto3.__version__} (botocore {botocore.__version__}) is too old: its PutObject does not know "
                f"{' and '.join(sorted(missing))}, by which tables are written; install boto3 1.40 or later"
            )

    def get(self, key: str, *, max_bytes: int | None = None, version: str = "") -> StoredObject:
        which: dict[str, Any] = {"VersionId": version} if version else {}
        try:
            reply = self._client.get_object(Bucket=self.bucket, Key=key, **which)
            info = ObjectInfo(
                key,
                reply["ETag"].strip('"'),
                reply["ContentLength"],
                reply["LastModified"],
                reply.get("VersionId") or version,
            )
            if max_bytes is not None and info.size > max_bytes:
                reply["Body"].close()  # only the headers are needed, not the content
                raise too_large(self.bucket, info, max_bytes)
            data = reply["Body"].read()
        except (ClientError, BotoCoreError) as error:
            if version and _is_no_version(error):
                raise ObjectNotFound(key, f"s3://{self.bucket}/{key} does not exist in this version") from error
            raise self._translated(error, key) from error
        return StoredObject(info, data)

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False) -> str:
        condition: dict[str, Any] = {}
        if if_match is not None:
            condition["IfMatch"] = f'"{if_match}"'
        if if_none_match:
            condition["IfNoneMatch"] = "*"
        try:
            reply = self._client.put_object(Bucket=self.bucket, Key=key, Body=data, **condition)
        except (ClientError, BotoCoreError) as error:
            raise self._translated(error, key) from error
        return reply["ETag"].strip('"')

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix, StartAfter=start_after
        )
        try:
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield ObjectInfo(entry["Key"], entry["ETag"].strip('"'), entry["Size"], entry["LastModified"])
        except (ClientError, BotoCoreError) as error:
            raise self._translated(error, prefix) from error

    def versions(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        after: Any = {"KeyMarker": start_after} if start_after else {}
        pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix, **after)
        try:
            entries = (entry for page in pages for entry in page.get("Versions", ()))
            for key, newest_first in groupby(entries, lambda entry: entry["Key"]):
                for entry in reversed(list(newest_first)):
                    yield ObjectInfo(
                        key, entry["ETag"].strip('"'), entry["Size"], entry["LastModified"], entry["VersionId"]
                    )
        except (ClientError, BotoCoreError) as error:
            raise self._translated(error, prefix) from error

    def _translated(self, error: ClientError | BotoCoreError, key: str) -> StoreError:
        where = f"s3://{self.bucket}/{key}"
        if isinstance(error, _NO_ANSWER):
            return StoreUnavailable(key, f"{where}: no answer from S3 ({error})")
        if not isinstance(error, ClientError) or is_of_credentials(error):
            return StoreError(key, f"{where}: {error}; {remedy_of(error)}")
        reply: Mapping[str, Any] = error.response
        code = reply.get("Error", {}).get("Code", "")
        status = reply.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code == "NoSuchBucket":
            return StoreError(key, f"there is no bucket {self.bucket}; check STOCK_PIPELINE_STAGING_BUCKET and "
                                   "STOCK_PIPELINE_LAKE_BUCKET")  # fmt: skip
        if code == "NoSuchKey" or status == 404:
            return ObjectNotFound(key, f"{where} does not exist")
        if status in {409, 412}:
            return PreconditionFailed(key, f"{where} was written by another process")
        if status in {429, 500, 502, 503, 504} or code in {"SlowDown", "RequestTimeout"}:
            return StoreUnavailable(key, f"{where}: S3 answered {status} {code}")
        if status == 507:
            return StoreError(key, f"{where} was not stored: {reply['Error'].get('Message') or 'the disk is full'}")
        if status == 403:
            return StoreError(key, f"{where}: access denied; the role or profile needs this permission")
        return StoreError(key, f"{where}: S3 answered {status} {code}")


def _is_no_version(error: ClientError | BotoCoreError) -> bool:
    """Whether S3 says that a bucket has no such version; it calls an id of another bucket an invalid argument."""
    return isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") in (
        "InvalidArgument",
        "NoSuchVersion",
    )
