"""What the lake remembers of a version of a source, beside the rows of it that are not stored.

It is kept in the footer of the source's rejected records. Most sources have none: nothing of them was rejected, nobody
told how to read them, and they replaced nothing. Their rows and the logs of the tables' objects say the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from stock_pipeline.lake.ingest_log import Options

_VERSIONS = "source_versions"
_EARLIER = ("source_modified", "source_etag")  # what schemas 1 and 2 kept: the last version only


@dataclass(frozen=True)
class Remembered:
    """What is known of one version of a source.

    If it is `judged`, all of it was ingested, and each row that is not stored is on record. `logged` then says how many
    entries it had in the log of each partition. `options` are those of the last ingest that had any, and `restated` is
    the time (ISO 8601) of the last restatement. `removed` says that a person took its rows out. `modified` is when the
    version was written (ISO 8601).
    """

    modified: str = ""
    judged: bool = False
    logged: Mapping[str, int] = field(default_factory=dict)
    options: Options = ()
    restated: str = ""
    removed: bool = False


Memory = Mapping[str, Remembered]
"""The versions of a source by their ETags."""


def of_footer(footer: Mapping[str, str]) -> dict[str, Remembered]:
    """What a footer says of the versions of a source."""
    if _VERSIONS in footer:
        return {etag: _of(told) for etag, told in json.loads(footer[_VERSIONS]).items()}
    modified, etag = (footer.get(name, "") for name in _EARLIER)
    return {etag: Remembered(modified, judged=True)} if etag or modified else {}


def in_footer(memory: Memory) -> dict[str, str]:
    """The memory as an entry of a footer; only what differs from the default is written."""
    plain = Remembered()
    told = {
        etag: {name: value for name, value in vars(known).items() if value != getattr(plain, name)}
        for etag, known in memory.items()
    }
    return {_VERSIONS: json.dumps(told, ensure_ascii=False, separators=(",", ":"))}


def judged(known: Remembered, modified: str, logged: Mapping[str, int], options: Options, restated: str) -> Remembered:
    """What is known after a whole ingest of the version. It also brings removed rows back."""
    return replace(
        known,
        modified=known.modified or modified,
        judged=True,
        logged=dict(sorted((dict(known.logged) | dict(logged)).items())),  # partitions are merged in any order
        options=options or known.options,
        restated=restated or known.restated,
        removed=False,
    )


def _of(told: dict[str, object]) -> Remembered:
    options = told.pop("options", ())
    assert isinstance(options, list | tuple)
    return Remembered(**told, options=tuple((name, value) for name, value in options))  # type: ignore[arg-type]
