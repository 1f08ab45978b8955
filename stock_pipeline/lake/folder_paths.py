"""The file of a folder for each key, and the key for each file. Every key has its own file.

Ordinary keys stay as they are: `price_by_date/year=2024/prices.parquet`. A key is split at its slashes, and each part
becomes a name:

- ASCII letters, digits and `-_=+,@~ .` stay. Every other character is written as %XX, so that no name has a special
  meaning for a file system.
- S3 may hold `a` and `a/b`; no folder may hold a file and a folder of one name. So the name of a file has a dot or ends
  in `%`, and the name of a folder does neither.
- A name that is too long for a file system ends in `%+`, and goes on in a folder below. An empty part is `%-`.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

_PLAIN = "-_=+,@~ "
_LONGEST = 200
"""The most characters of a name; file systems allow 255 bytes."""

_FILE, _GOES_ON, _EMPTY = "%", "%+", "%-"


def path_of(key: str) -> str:
    """The path, relative to the store's folder, of the file that holds an object."""
    *folders, last = key.split("/")
    pieces = _pieces(last)
    name = pieces.pop().replace("%2E", ".") if last else ""
    if name.startswith("."):
        name = "%2E" + name[1:]
    if "." not in name:
        name += _FILE
    return "/".join([*map(_folder, folders), *(piece + _GOES_ON for piece in pieces), name])


def folder_of(prefix: str) -> str:
    """The path of the smallest folder that holds every key with a prefix."""
    return "/".join(map(_folder, prefix.split("/")[:-1]))


def key_of(path: str) -> str | None:
    """The key whose object is in a file, or None when the file does not belong to the store."""
    *folders, name = path.split("/")
    parts, begun = list[str](), ""
    for folder in folders:
        begun += "" if folder == _EMPTY else folder.removesuffix(_GOES_ON)
        if not folder.endswith(_GOES_ON):
            parts.append(begun)
            begun = ""
    try:
        key = "/".join(unquote(part, errors="strict") for part in [*parts, begun + name.removesuffix(_FILE)])
        return key if path_of(key) == path else None
    except UnicodeError:
        return None


def _folder(part: str) -> str:
    return f"{_GOES_ON}/".join(_pieces(part)) or _EMPTY


def _pieces(part: str) -> list[str]:
    """A part of a key as file names that are short enough, without dots."""
    name = quote(part, safe=_PLAIN).replace(".", "%2E")
    return [name[at : at + _LONGEST] for at in range(0, len(name), _LONGEST)]
