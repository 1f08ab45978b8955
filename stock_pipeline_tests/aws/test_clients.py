"""Clients of AWS: whose credentials they have."""

from __future__ import annotations

import pytest

from stock_pipeline.aws.clients import client_of


def test_a_client_has_the_credentials_that_the_environment_has_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each start of the local AWS has a key of its own, and a notebook outlives it."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for key in ("first", "second", "first"):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key)
        assert client_of("s3")._request_signer._credentials.access_key == key
