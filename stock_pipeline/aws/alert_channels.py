"""Where alerts go: an SNS topic, a Slack webhook, a file. No Dagster.

Each channel sends one message at a time, and raises AlertNotSent when it could not. The caller sends it again.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol

from stock_pipeline.aws.clients import BotoCoreError, ClientError, impatient
from stock_pipeline.errors import AlertNotSent
from stock_pipeline.settings import Settings, variable

__all__ = ["Channel", "File", "Message", "SlackWebhook", "SnsTopic", "channels_of"]

_LONGEST_SUBJECT = 99  # characters; SNS refuses a subject of 100 and more
_LONGEST_TEXT = 3_000  # characters; Slack cuts a block there, and SNS takes far more
_TIMEOUT = 10.0  # seconds


@dataclass(frozen=True)
class Message:
    """One alert: what happened in a few words, why in a sentence or two, and the page of the UI that shows it."""

    title: str
    why: str
    link: str
    at: datetime

    @property
    def text(self) -> str:
        return "\n".join((self.title, self.why[:_LONGEST_TEXT], f"{self.at:%Y-%m-%d %H:%M:%S} UTC", self.link))


class Channel(Protocol):
    """A channel has a name, by which Dagster remembers what was said on it."""

    @property
    def name(self) -> str: ...

    def send(self, message: Message) -> None:
        """Send a message. Raises AlertNotSent."""
        ...


@dataclass(frozen=True)
class SnsTopic:
    """A topic in SNS, whose subscribers get the message by e-mail."""

    arn: str

    @property
    def name(self) -> str:
        return f"sns {self.arn}"

    def send(self, message: Message) -> None:
        sns: Any = impatient("sns")
        title = "".join(c if " " <= c <= "~" else "?" for c in message.title)  # a subject is printable ASCII
        try:
            sns.publish(TopicArn=self.arn, Subject=title[:_LONGEST_SUBJECT], Message=message.text)
        except (BotoCoreError, ClientError) as error:
            raise AlertNotSent(
                f"SNS did not take an alert ({error}); check {variable('alerts_topic_arn')} and the right sns:Publish"
            ) from error


@dataclass(frozen=True)
class SlackWebhook:
    """A webhook of Slack. Its address is a secret, so neither a name nor an error has it."""

    url: str

    def __repr__(self) -> str:
        return "SlackWebhook()"

    @property
    def name(self) -> str:
        return "slack"

    def send(self, message: Message) -> None:
        escaped = message.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        request = urllib.request.Request(  # noqa: S310 - the settings take https only
            self.url, json.dumps({"text": escaped}).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as reply:  # noqa: S310 - as above
                reply.read()
        except urllib.error.HTTPError as error:
            raise _refused(f"status {error.code}") from None
        except (OSError, HTTPException, ValueError) as error:
            raise _refused(type(error).__name__) from None


def _refused(why: str) -> AlertNotSent:
    return AlertNotSent(f"Slack did not take an alert ({why}); check {variable('alerts_slack_webhook')}")


@dataclass(frozen=True)
class File:
    """A file with one line for each alert."""

    path: Path

    @property
    def name(self) -> str:
        return f"file {self.path}"

    def send(self, message: Message) -> None:
        why = " ".join(message.why.split())
        line = f"{message.at:%Y-%m-%d %H:%M:%S} UTC  {message.title}: {why}  {message.link}\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "ab") as file:
                file.write(line.encode())
        except OSError as error:
            raise AlertNotSent(f"cannot write {self.path} ({error.strerror}); see {variable('alerts_file')}") from error


def channels_of(settings: Settings) -> list[Channel]:
    """The channels that are set."""

    def found() -> Iterator[Channel]:
        if settings.alerts_topic_arn:
            yield SnsTopic(settings.alerts_topic_arn)
        if settings.alerts_slack_webhook:
            yield SlackWebhook(settings.alerts_slack_webhook)
        if settings.alerts_file:
            yield File(Path(settings.alerts_file))

    return [*found()]
