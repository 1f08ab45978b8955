"""The bucket policy of the lake, at work: whoever may write everything still cannot write over a table unseen."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from stock_pipeline.lake.layout_object import LAYOUT_KEY
from stock_pipeline.lake.transforms import SNAPSHOT
from stock_pipeline.schemas import TABLES, Table
from stock_pipeline_tests.deployed.account import Account
from stock_pipeline_tests.deployed.people import somebody

pytestmark = pytest.mark.deployed


@pytest.fixture(scope="module")
def administrator(account: Account) -> Any:
    """An S3 client of a role that may do everything with S3, if no bucket policy forbids it."""
    return somebody(account, "administrator", statements=[{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]).s3


def key_of(table: Table) -> str:
    """A key below a table's prefix, of a partition that no test uses."""
    if not table.partition:
        return f"{table.prefix}{SNAPSHOT}{table.suffix}"
    return f"{table.prefix}{table.partition[0]}=1987/nobody.parquet"


KEYS = [*map(key_of, TABLES.values()), LAYOUT_KEY]
REFUSED = "AccessDenied"


@pytest.mark.parametrize("key", KEYS)
def test_a_table_is_not_written_over_unseen(account: Account, administrator: Any, key: str) -> None:
    lake = account.lake.bucket
    before = [version["VersionId"] for version in versions(account, key)]
    with pytest.raises(ClientError, match=REFUSED):
        administrator.put_object(Bucket=lake, Key=key, Body=b"a script's")
    source = {"Bucket": lake, "Key": "athena_results/copied"}
    administrator.put_object(**source, Body=b"no table: such objects may be written over")
    administrator.put_object(**source, Body=b"as often as somebody likes")
    with pytest.raises(ClientError, match=REFUSED):
        administrator.copy_object(Bucket=lake, Key=key, CopySource=source)
    assert [version["VersionId"] for version in versions(account, key)] == before


def test_who_says_what_a_write_replaces_may_write(account: Account, administrator: Any) -> None:
    where = {"Bucket": account.lake.bucket, "Key": "price_by_date/year=1988/nobody.parquet"}
    first = administrator.put_object(**where, Body=b"first", IfNoneMatch="*")["ETag"]
    administrator.put_object(**where, Body=b"second", IfMatch=first)
    with pytest.raises(ClientError, match="PreconditionFailed"):
        administrator.put_object(**where, Body=b"third", IfMatch=first)
    account.s3.delete_object(**where)


def test_a_large_object_is_uploaded_in_parts_with_its_condition_at_the_end(
    account: Account, administrator: Any
) -> None:
    where = {"Bucket": account.lake.bucket, "Key": "price_by_date/year=1989/nobody.parquet"}
    upload = administrator.create_multipart_upload(**where)["UploadId"]
    part = administrator.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"whole")["ETag"]
    done = {"UploadId": upload, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": part}]}}
    with pytest.raises(ClientError, match=REFUSED):
        administrator.complete_multipart_upload(**where, **done)
    administrator.complete_multipart_upload(**where, **done, IfNoneMatch="*")
    account.s3.delete_object(**where)


def versions(account: Account, key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = account.s3.list_object_versions(Bucket=account.lake.bucket, Prefix=key).get(
        "Versions", []
    )
    return found
