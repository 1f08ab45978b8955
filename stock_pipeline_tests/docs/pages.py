"""The pages of the docs as steps that the runner takes: each code block with what is said about it.

A block of a shell (```` ```sh ````, or no language) or of Python is run, in the order of the page. Comments before a
block, which a reader of the page does not see but a reader of its source does, say where that is not all:

    <!-- run: for 5 s -->                          Ctrl-C, so long after its first words, ends each command cleanly
    <!-- run: exits with 1 -->                     the status that the block ends with
    <!-- run: answers "y" -->                      what the reader types where the block asks
    <!-- run: in the background until "ready" -->  goes on to the end of the page, where Ctrl-C ends it with status 0
    <!-- not run: aws -->                          with a reason of `NOT_RUN`
    <!-- output -->                                before a block of text: what the block before has printed
    <!-- apply -->                                 before a diff: the change that the reader makes
    <!-- prepare: cp a.csv b.csv -->               what the reader has and the page does not make (one line or more)
    <!-- with: make dev -->                        what runs in another terminal, of `WITH`
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

NOT_RUN = {
    "aws": "needs an AWS account",
    "clone": "fetches the project from its home; the runner works in a copy of this checkout",
    "demo": "stock_pipeline_tests/e2e/test_demo.py runs it from an empty home, twice (make live)",
    "dev": "stock_pipeline_tests/dev starts and ends it in each of these ways (make live)",
    "suite": "a suite that .ci/run runs by itself",
    "deploy": "the tests of the deployment run make build, deploy and destroy against the local AWS",
}
"""Why a block is not run. Each use is a test of its own, so that a report of the tests lists them all."""

WITH = {
    "make dev": ("make dev", "Ctrl-C to stop"),
    "local AWS": ("python -m stock_pipeline_tests.docs.aws", "ready"),
}
"""What may run beside a page: the command, and what it prints once it is there."""

_SHELL = {"", "sh", "bash", "shell", "console"}
_PARTS = re.compile(
    r"^<!--(?P<comment>.*?)-->[ \t]*$|^```(?P<language>\S*)[^\n]*\n(?P<block>.*?)^```[ \t]*$", re.M | re.S
)
_DIRECTIVE = re.compile(r"\s*(run|not run|output|apply|prepare|with)\b:?\s*(.*?)\s*\Z", re.S)


@dataclass(frozen=True)
class Step:
    """One thing to do: `kind` is run, background, python, output, apply, prepare or not run."""

    page: str
    line: int
    kind: str
    text: str
    seconds: float | None = None
    status: int = 0
    answer: str = ""
    until: str = ""
    reason: str = ""

    def __str__(self) -> str:
        first = self.text.strip().splitlines()[0] if self.text.strip() else ""
        return f"{self.page}:{self.line}: {first}"


class Misplaced(Exception):
    """A comment that says nothing that the runner knows, or that stands before no block that it fits."""


def steps(page: Path) -> list[Step]:
    """What there is to do on a page, in order. Raises Misplaced."""
    return list(_steps(page.read_text(), str(page.relative_to(ROOT))))


def _steps(text: str, page: str) -> Iterator[Step]:
    said: tuple[str, str] | None = None
    for found in _PARTS.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        if found["comment"] is not None:
            if directive := _DIRECTIVE.match(found["comment"]):
                if said:
                    raise Misplaced(f"{page}:{line}: the comment before, {said[0]!r}, stands before no block")
                kind, rest = directive[1], directive[2]
                if kind == "prepare":
                    yield Step(page, line, "prepare", rest)
                elif kind == "with":
                    if rest not in WITH:
                        raise Misplaced(f"{page}:{line}: {rest!r} is none of {', '.join(WITH)}")
                    yield Step(page, line, "background", WITH[rest][0], until=WITH[rest][1])
                else:
                    said = kind, rest
            continue
        step = _block(page, line, found["language"], found["block"], said)
        said = None
        if step:
            yield step
    if said:
        raise Misplaced(f"{page}: the last comment, {said[0]!r}, stands before no block")


def _block(page: str, line: int, language: str, text: str, said: tuple[str, str] | None) -> Step | None:
    kind, rest = said or ("run", "")
    if kind in {"output", "apply"}:
        if language != {"output": "text", "apply": "diff"}[kind]:
            raise Misplaced(f"{page}:{line}: `{kind}` stands before a block of {language or 'a shell'}")
        return Step(page, line, kind, text)
    if language not in _SHELL | {"python"}:
        if said:
            raise Misplaced(f"{page}:{line}: `{kind}` stands before a block of {language}")
        return None
    if kind == "not run":
        return Step(page, line, kind, text, reason=rest)
    if language == "python":
        return Step(page, line, "python", text)
    if found := re.fullmatch(r'in the background until "(.+)"', rest):
        return Step(page, line, "background", text, until=found[1])
    if found := re.fullmatch(r"for (\d+) s", rest):
        return Step(page, line, "run", text, seconds=float(found[1]))
    if found := re.fullmatch(r"exits with (\d+)", rest):
        return Step(page, line, "run", text, status=int(found[1]))
    if found := re.fullmatch(r'answers "(.+)"', rest):
        return Step(page, line, "run", text, answer=found[1])
    if rest:
        raise Misplaced(f"{page}:{line}: nothing is known of `run: {rest}`")
    return Step(page, line, "run", text)


def commands_of(text: str) -> list[str]:
    """The commands of a block: a line each, with the indented lines that go on with it."""
    return [c for c in re.split(r"\n(?!\s|\Z)", text.strip("\n")) if c.strip()]


def looks_like(expected: str, output: str) -> bool:
    """Whether an output is as a page shows it: `…` stands for anything in a line, alone on a line for any lines."""
    pattern = ""
    for line in expected.strip("\n").splitlines():
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(re.escape(part) for part in line.rstrip().split("…")) + r"[ \t]*\n"
    return re.fullmatch(pattern, output.strip("\n") + "\n") is not None
