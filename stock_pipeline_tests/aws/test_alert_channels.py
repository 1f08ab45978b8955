"""Alerts arrive on each channel as they were said, and a channel that fails says what to do and no secret."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from stock_pipeline.aws.alert_channels import File, Message, SlackWebhook, SnsTopic, channels_of
from stock_pipeline.errors import AlertNotSent, SettingsError
from stock_pipeline.settings import Settings

SECRET = "T0/B1/s3cr3t"  # pragma: allowlist secret
MESSAGE = Message("A run of ingest_ticks failed", "no <answer>\nfrom S3 & co", "http://localhost:3000/runs/1",
                  datetime(2024, 6, 3, 14, 30, tzinfo=UTC))  # fmt: skip


class Slack(ThreadingHTTPServer):
    """A webhook on loopback: what it got, and the status that it answers with."""

    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hook)
        self.got: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/services/{SECRET}"


class _Hook(BaseHTTPRequestHandler):
    server: Slack

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.status == 200:
            self.server.got.append(body)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def slack() -> Iterator[Slack]:
    with Slack() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield


@pytest.mark.usefixtures("account")
def test_the_subscribers_of_a_topic_get_title_reason_and_link() -> None:
    sns, sqs = boto3.client("sns"), boto3.client("sqs")
    topic = sns.create_topic(Name="alerts")["TopicArn"]
    url = sqs.create_queue(QueueName="mail")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    SnsTopic(topic).send(MESSAGE)
    long = Message("Dé".join("x" * 80 for _ in range(3)), "why\n", "l", MESSAGE.at)
    SnsTopic(topic).send(long)
    first, second = (
        json.loads(sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1)["Messages"][0]["Body"]) for _ in range(2)
    )
    assert first["Subject"] == MESSAGE.title
    assert first["Message"].splitlines() == [
        MESSAGE.title, "no <answer>", "from S3 & co", "2024-06-03 14:30:00 UTC", MESSAGE.link
    ]  # fmt: skip
    assert len(second["Subject"]) < 100
    assert second["Subject"].isascii()


@pytest.mark.usefixtures("account")
def test_a_topic_that_is_gone_is_named_with_the_setting() -> None:
    with pytest.raises(AlertNotSent, match="STOCK_PIPELINE_ALERTS_TOPIC_ARN"):
        SnsTopic("arn:aws:sns:us-east-1:123456789012:gone").send(MESSAGE)


def test_slack_shows_the_text_and_takes_no_part_of_it_as_markup(slack: Slack) -> None:
    SlackWebhook(slack.url).send(MESSAGE)
    (body,) = slack.got
    assert body["text"].startswith(f"{MESSAGE.title}\nno &lt;answer&gt;\nfrom S3 &amp; co\n")
    assert body["text"].endswith(MESSAGE.link)


@pytest.mark.parametrize("status", [403, 404, 500, None])
def test_a_webhook_that_fails_is_told_of_without_its_address(slack: Slack, status: int | None) -> None:
    url = slack.url
    if status is None:
        slack.shutdown()
        slack.server_close()
    else:
        slack.status = status
    channel = SlackWebhook(url)
    with pytest.raises(AlertNotSent, match="STOCK_PIPELINE_ALERTS_SLACK_WEBHOOK") as told:
        channel.send(MESSAGE)
    assert SECRET not in f"{told.value} {told.value.__cause__} {channel!r} {channel.name}"
    assert str(status or "") in str(told.value)


def test_a_file_has_one_line_for_each_alert(tmp_path: Path) -> None:
    channel = File(tmp_path / "new" / "alerts.log")
    channel.send(MESSAGE)
    channel.send(MESSAGE)
    lines = channel.path.read_text().splitlines()
    assert lines == [f"2024-06-03 14:30:00 UTC  {MESSAGE.title}: no <answer> from S3 & co  {MESSAGE.link}"] * 2
    assert channel.path.stat().st_mode & 0o077 == 0


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AlertNotSent, match="STOCK_PIPELINE_ALERTS_FILE"):
        File(tmp_path / "file" / "alerts.log").send(MESSAGE)


def test_the_channels_are_those_that_are_set() -> None:
    env = {
        "STOCK_PIPELINE_ALERTS_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:alerts",
        "STOCK_PIPELINE_ALERTS_SLACK_WEBHOOK": f"https://hooks.example/{SECRET}",
        "STOCK_PIPELINE_ALERTS_FILE": "/x/alerts.log",
    }
    settings = Settings.from_env(env)
    assert [type(channel) for channel in channels_of(settings)] == [SnsTopic, SlackWebhook, File]
    assert channels_of(Settings.from_env({})) == []
    assert SECRET not in f"{settings!r}"


def test_a_malformed_webhook_is_refused_without_being_shown() -> None:
    with pytest.raises(SettingsError, match="https://") as told:
        Settings.from_env({"STOCK_PIPELINE_ALERTS_SLACK_WEBHOOK": f"http://hooks.example/{SECRET}"})
    assert SECRET not in str(told.value)
