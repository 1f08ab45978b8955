"""Writes docs/reference.md from the code, so that it cannot say anything else.

python -m stock_pipeline_tests.docs.reference
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import typer.main

from stock_pipeline.cli.main import app
from stock_pipeline.schemas import REASONS, TABLES, Table
from stock_pipeline.settings import Settings, documented, variable

DOCS = Path(__file__).resolve().parents[2] / "docs"
REFERENCE = DOCS / "reference.md"

HEAD = """# Reference

Written from the code by `python -m stock_pipeline_tests.docs.reference`; a test holds it.

<!-- with: local AWS -->
"""

BEFORE = {
    "dev": "<!-- not run: dev -->",
    "demo": "<!-- not run: demo -->",
    "ingest": """<!-- prepare:
cp docs/samples/ACME.csv AAPL.csv
cp docs/samples/ACME.csv download.csv
sed 's/^Date/Symbol,Date/; s/^2024/MSFT,2024/' docs/samples/ACME.csv | tee MSFT.csv corrected.csv | gzip > bars.csv.gz
printf '{"symbol":"AAPL","price":191.2,"produced_at":"2024-06-28 14:30:00.5"}\\n' | gzip > ticks.jsonl.gz
-->""",
    "stream": "<!-- run: for 2 s -->",
    "watch": "<!-- run: for 2 s -->",
    "sql": "<!-- prepare: echo 'SELECT symbol, close FROM price_by_date' > query.sql -->",
}
"""What the runner of the docs must know of a command's examples; see stock_pipeline_tests/docs/pages.py."""

COMMANDS = """## Commands

Results go to stdout, everything else to stderr. Exit status: 0 done, 1 the work failed (the message says what to do),
2 wrong usage, 130 interrupted with Ctrl-C; `dev`, `demo`, `stream` and `watch` end with 0 on Ctrl-C, as they should.
`NO_COLOR=1` turns colours off; where there is no terminal there are none, and progress is a line every few seconds.

A command works on the AWS that the environment names by its buckets. If it names none, that is the local AWS: the one
that `dev` runs, or one that is started for the command's own duration. The data stays where the next command finds it.

`stock-pipeline --stack NAME …` (or `STOCK_PIPELINE_STACK`) works on a stack that `make deploy` made: what
CloudFormation says of its outputs takes the place of the settings below, so no other is needed. Region and credentials
are AWS's own (`AWS_REGION`, `AWS_PROFILE`), and must be allowed `cloudformation:DescribeStacks`.

<!-- not run: deploy -->
```
stock-pipeline --stack stock-pipeline-main doctor
stock-pipeline --stack stock-pipeline-main sql "SELECT count(*) FROM price_by_date"
```
"""

SETTINGS = """## Settings

Environment variables; blank ones count as unset.

| variable | meaning | default |
|---|---|---|"""

AWS_SETTINGS = """
Which AWS it is, and who you are there, is said by the variables of AWS itself: `AWS_PROFILE`, `AWS_REGION`,
`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL`, … `stock-pipeline dev` sets them for what it runs.
"""

TABLES_HEAD = """## Tables

In the Glue database `stock_market`, as Parquet in the lake bucket; the same names in Athena and in DuckDB. All times
are UTC.
"""

REASONS_HEAD = """## Reasons

Why a row is not in its table; the column `reason` of `rejected_records`.

| reason | meaning |
|---|---|"""

RECEIPTS = """## Receipts

What one ingest did with one source object: a line of JSON from `stock-pipeline ingest --json` and in what the functions
return. `rows = inserted + duplicates + updated + conflicts + the sum of rejected + skipped`, always.

| field | meaning |
|---|---|
| `source`, `etag` | the object's key in staging, and the identity of the content that was read |
| `table` | the table that it was ingested into |
| `bytes` | the object's size as it is stored |
| `rows` | rows that the object holds |
| `inserted` | rows that are in the table because of this ingest |
| `duplicates` | rows that were there with the same values or more, stored or earlier in the same ingest |
| `updated` | rows that completed one that was there with values that it lacked |
| `conflicts` | rows whose key was there with other values |
| `rejected` | rows that break a rule, by reason |
| `skipped` | records that are not rows of this table on purpose |
| `nulled` | values that may be missing and could not be taken, so that their rows were stored without them, by reason |
| `unread` | columns of the file that nobody reads |
| `decided` | what could be read in several ways, and the evidence or the hint that decided it |
| `rescaled` | for each symbol whose conflicts are one thing, such as a split, a line that says so |
| `replaced` | how many of `inserted` took the place of other values (a restatement) |
| `refused` | why the object was refused whole, or null; every count is then 0 |
| `partitions` | rows of this source by partition |
| `started_at`, `seconds` | when it began, and how long it took |
| `loaded_at` | the `etl_loading_ts` of the rows that it stored or completed |
"""


def render() -> str:
    """The whole page."""
    parts = [
        HEAD,
        COMMANDS,
        _options_before(),
        *_commands(),
        SETTINGS + "\n" + "\n".join(_settings()),
        AWS_SETTINGS,
        TABLES_HEAD,
    ]
    parts += [_table(table) for table in TABLES.values()]
    parts += [
        REASONS_HEAD + "\n" + "\n".join(f"| `{r.value}` | {text} |" for r, text in REASONS.items()) + "\n",
        RECEIPTS,
    ]
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def commands() -> dict[str, Any]:
    """Every command by its whole name (`rejects list`)."""

    def walk(group: Any, path: str) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from walk(command, f"{path}{name} ")
            else:
                yield path + name, command

    return dict(walk(typer.main.get_command(app), ""))


def _options_before() -> str:
    rows = [_parameter(p) for p in typer.main.get_command(app).params if p.name != "help"]
    return "\n".join(["Before the command's name:", "", "| | |", "|---|---|", *rows])


def _commands() -> Iterator[str]:
    for name, command in commands().items():
        summary, _, rest = command.help.partition("\n\n")
        text, _, examples = rest.partition("Examples:")
        body = " ".join(text.split("\n\n")[0].split()) if "\n\n" not in text.strip() else _paragraphs(text)
        lines = [f"### stock-pipeline {name}", "", " ".join(summary.split()), ""]
        if body:
            lines += [body, ""]
        lines += [BEFORE[name]] if name in BEFORE else []
        lines += [
            "```sh",
            *(line[4:] if line.startswith("    ") else line for line in examples.strip("\n").splitlines()),
            "```",
            "",
        ]
        rows = [_parameter(p) for p in command.params if p.name != "help"]
        if rows:
            lines += ["| | |", "|---|---|", *rows, ""]
        yield "\n".join(lines)


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def _parameter(parameter: Any) -> str:
    is_option = parameter.param_type_name == "option"
    name = ", ".join(f"`{o}`" for o in parameter.opts) if is_option else f"`{parameter.name.upper()}`"
    variable = f" The variable `{parameter.envvar}` does the same." if parameter.envvar else ""
    return f"| {name} | {parameter.help}{variable} |"


def _settings() -> Iterator[str]:
    meanings = documented()
    for field in fields(Settings):
        default = "" if field.default is None else field.default
        shown = ",".join(default) if isinstance(default, tuple) else str(default)
        yield f"| `{variable(field.name)}` | {meanings[variable(field.name)]} | {f'`{shown}`' if shown else ''} |"


def _table(table: Table) -> str:
    lines = [f"### {table.name}", "", table.description, ""]
    where = f"`{table.prefix}`" + (f", partitioned by {', '.join(table.partition)}" if table.partition else "")
    keep = "the first stored" if table.keep == "first" else f"the greatest ({', '.join(table.order)})"
    lines += [f"Objects: {where}. Key: {', '.join(table.key)}; of several rows with one key {keep} stays.", ""]
    lines += ["| column | type | meaning |", "|---|---|---|"]
    lines += [
        f"| `{c.name}` | {c.athena_type}{', may be null' if c.nullable else ''} | {c.description} |"
        for c in table.columns
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    REFERENCE.write_text(render())
