"""Every exception that this package raises on purpose.

    StockPipelineError
    ├── ExtraMissing             a part of the package needs an extra that is not installed
    ├── SettingsError            a setting is missing or malformed; the message names it and the remedy
    ├── FileRefused              a whole source object is not what its prefix promises
    │   └── FileTooLarge         it has more text than the caller's limit
    ├── StoreError               the object store answered with an error
    │   ├── ObjectNotFound       there is no object under that key
    │   ├── ObjectTooLarge       the object is larger than the caller's limit; nothing was fetched
    │   ├── PreconditionFailed   somebody else wrote first (HTTP 412 or 409): read again and merge again
    │   └── StoreUnavailable     throttled, timed out or broken (HTTP 429, 5xx, no reply): trying again may help
    ├── MergeContention          compare-and-swap lost more often than the retry limit allows
    ├── SchemaMismatch           a stored object does not have the columns of its table
    │   └── NewerSchema          a writer would drop what a newer version of the schema put into an object
    ├── RowsWouldBeLost          a rebuild would drop rows whose raw objects are gone
    ├── WorkersDied              processes of heavy work died at each try
    ├── QueryError               SQL was refused or failed
    ├── AlertNotSent             a channel of alerts does not answer, or refuses
    ├── LineageNotSent           the catalog that lineage is sent to does not answer, or lets nobody in
    ├── QueueError               SQS does not answer, or refuses
    ├── DamagedObject            an object of the lake cannot be read: it is damaged, or it is empty
    ├── LayoutError              the layout of history is unknown or unreadable, or a change of it is refused
    ├── HistoryMisplaced         a tick of history is not in the object that the layout has for it
    ├── EventError               an event asks a Lambda function for something that it does not do
    ├── ObjectsFailed            some objects could not be ingested, each for a reason of its own
    ├── NotSent                  the stream did not take all of the ticks
    ├── SimulationError          the simulated market cannot give what was asked for (also a ValueError)
    ├── DevError                 `dev` runs already, or one of its processes failed
    ├── BoardError               the board cannot listen on its port
    ├── DeployError              the functions cannot be packaged, or a stack cannot be deployed, found or read
    └── LocalAwsError            the local AWS could not be started, found or deployed to

These exceptions are for people: the command line prints the message without a traceback. A message that shows a part
of a file puts it in quotes (`quoted`). Logs must not hold the contents of files: `without_contents` removes the quotes.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

__all__ = [
    "AlertNotSent",
    "BoardError",
    "DamagedObject",
    "DeployError",
    "DevError",
    "EventError",
    "ExtraMissing",
    "FileRefused",
    "FileTooLarge",
    "HistoryMisplaced",
    "LayoutError",
    "LineageNotSent",
    "LocalAwsError",
    "MergeContention",
    "NewerSchema",
    "NotSent",
    "NothingFound",
    "ObjectNotFound",
    "ObjectTooLarge",
    "ObjectsFailed",
    "PreconditionFailed",
    "QueryError",
    "QueueError",
    "RowsWouldBeLost",
    "SchemaMismatch",
    "SettingsError",
    "SimulationError",
    "StockPipelineError",
    "StoreError",
    "StoreUnavailable",
    "WorkersDied",
    "quoted",
    "without_contents",
]

_LONGEST_QUOTE = 80
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")


def quoted(text: str) -> str:
    """A text from a file, as a message shows it: in quotes, on one line, and short."""
    return repr(text if len(text) <= _LONGEST_QUOTE else f"{text[: _LONGEST_QUOTE - 3]}...")


def without_contents(message: str) -> str:
    """The message of one of these exceptions, for a log: everything in quotes is left out."""
    return _QUOTED.sub("'…'", message)


class StockPipelineError(Exception):
    """The base of all errors that this package raises on purpose. They can be sent to another process."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _sent, (type(self), self.args, self.__dict__)


def _sent(kind: type[StockPipelineError], args: tuple[Any, ...], state: dict[str, Any]) -> StockPipelineError:
    """An error as another process raised it, without calling its constructor."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class ExtraMissing(StockPipelineError):
    """A part of the package needs an extra that is not installed; the message names the command that installs it."""


class SettingsError(StockPipelineError):
    """A setting is missing or malformed; the message names the environment variable and the remedy."""


class FileRefused(StockPipelineError):
    """A whole source object is refused: nothing in it was stored.

    The message says why, and what would be accepted.
    """


class FileTooLarge(FileRefused):
    """A source object has more text, once unpacked, than the caller's limit."""


class StoreError(StockPipelineError):
    """The object store answered with an error."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class ObjectNotFound(StoreError):
    """There is no object under that key."""


class ObjectTooLarge(StoreError):
    """The object is larger than the caller's limit; nothing of it was fetched.

    `etag`, `size` (bytes) and `modified` (UTC) say which version it is.
    """

    def __init__(self, key: str, etag: str, size: int, modified: datetime, message: str) -> None:
        super().__init__(key, message)
        self.etag, self.size, self.modified = etag, size, modified


class PreconditionFailed(StoreError):
    """A conditional write lost to another writer."""


class StoreUnavailable(StoreError):
    """The store is throttling, timing out or broken; the effect of the call is unknown."""


class MergeContention(StockPipelineError):
    """Other writers rewrote the partition at every try. Nothing of this merge is lost; run it again."""


class SchemaMismatch(StockPipelineError):
    """A stored object lacks a required column, or has a column of a type that does not fit without loss.

    The message names the object, the column and who wrote it.
    """


class NewerSchema(SchemaMismatch):
    """A stored object has a newer version of its table's schema. The writer wrote nothing: it would drop new columns.

    The message names the version that wrote it. The remedy is to deploy that version everywhere.
    """


class RowsWouldBeLost(StockPipelineError):
    """A rebuild would drop stored rows, because the raw objects that they came from are gone."""


class WorkersDied(StockPipelineError):
    """Processes of heavy work died at each try. What other tasks did stays, and a second start goes on."""


class QueryError(StockPipelineError):
    """A SQL statement was refused or failed."""


class NothingFound(UserWarning):
    """A reader has no row of a symbol that it was asked for, or its start is after its end. No error: a warning."""


class AlertNotSent(StockPipelineError):
    """A channel of alerts does not answer, or refuses."""


class LineageNotSent(StockPipelineError):
    """The catalog that lineage is sent to does not answer, or lets nobody in; the events wait."""


class QueueError(StockPipelineError):
    """SQS does not answer, or refuses a call; the message names the queue."""


class DamagedObject(StockPipelineError):
    """An object of the lake cannot be read. The message names it and how to bring back a former version.

    `key` is its key. `etag` says which version it is, for a caller that writes a new one; None if that is not known.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key
        self.etag: str | None = None


class LayoutError(StockPipelineError):
    """The layout of history is unknown or unreadable, or a change of it is refused; the message says what to do."""


class HistoryMisplaced(StockPipelineError):
    """A tick of history is not in the object that the layout of history has for it."""


class SimulationError(StockPipelineError, ValueError):
    """The simulated market cannot give what was asked for: no such session, symbol, number or fault."""


class EventError(StockPipelineError):
    """An event asks a Lambda function for something that it does not do; the message says what it takes."""


class ObjectsFailed(StockPipelineError):
    """Some objects could not be ingested, each for its own reason; the others were. It is safe to ingest all again."""


class NotSent(StockPipelineError):
    """The stream did not take all ticks before the deadline; the message says how many lines are lost, and why."""


class DevError(StockPipelineError):
    """`stock-pipeline dev` runs already, or one of its processes did not start, ended or refused."""


class BoardError(StockPipelineError):
    """The board cannot listen on its port."""


class DeployError(StockPipelineError):
    """The functions cannot be packaged, or a stack cannot be deployed, found or read; the message says what to do."""


class LocalAwsError(StockPipelineError):
    """The local AWS could not be started, found or deployed to."""
