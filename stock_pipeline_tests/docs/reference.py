"""Writes docs/reference.md from the code, so that it cannot say anything else.

python -m stock_pipeline_tests.docs.reference
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from itertools import groupby
from pathlib import Path
from typing import Any

import typer.main

from stock_pipeline.clean.sale_conditions import ALPACA, LATE_REPORT, MASSIVE
from stock_pipeline.cli.main import app
from stock_pipeline.parse.ticks.others import OTHERS
from stock_pipeline.parse.ticks.shapes import Shape
from stock_pipeline.parse.ticks.vendors import FORMS
from stock_pipeline.schemas import REASONS, TABLES, Table
from stock_pipeline.settings import Settings, documented, variable
from stock_pipeline_tests.docs import daily_files

DOCS = Path(__file__).resolve().parents[2] / "docs"
REFERENCE = DOCS / "reference.md"

HEAD = """# Reference

`python -m stock_pipeline_tests.docs.reference` writes this page from the code, and a test compares the two.

<!-- with: local AWS -->
"""

BEFORE = {
    "dev": "<!-- not run: dev -->",
    "demo": "<!-- not run: demo -->",
    "serve": "<!-- not run: deploy -->",
    "ingest": """<!-- prepare:
cp docs/samples/ACME.csv AAPL.csv
cp docs/samples/ACME.csv download.csv
sed 's/^Date/Symbol,Date/; s/^2024/MSFT,2024/' docs/samples/ACME.csv | tee MSFT.csv corrected.csv | gzip > bars.csv.gz
printf 'SYMBOL,DATE,CLOSE\\nTCS,03-01-2024,3690.5\\n' > bhavcopy.csv
printf '{"symbol":"AAPL","price":191.2,"produced_at":"2024-06-28 14:30:00.5"}\\n' | gzip > ticks.jsonl.gz
-->""",
    "env": "<!-- not run: aws -->",
    "redrive": "<!-- not run: deploy -->",
    "remove": '<!-- run: answers "y" -->',
    "rebuild": '<!-- run: answers "y" -->',
    "restore": "<!-- not run: aws -->",
    "stream": "<!-- run: for 2 s -->",
    "board": "<!-- run: for 2 s -->",
    "watch": "<!-- run: for 2 s -->",
    "sql": "<!-- prepare: echo 'SELECT symbol, close FROM price_by_date' > query.sql -->",
}
"""What the runner of the docs must know of a command's examples; see stock_pipeline_tests/docs/pages.py."""

COMMANDS = """## Commands

Results go to stdout, everything else to stderr. Exit status: 0 done, 1 the work failed (the message says what to do),
2 wrong usage, 130 interrupted with Ctrl-C. `dev`, `demo`, `board`, `stream` and `watch` end with 0 on Ctrl-C, because
that is their normal end. `NO_COLOR=1` turns colours off. Without a terminal there are no colours, and progress is a
line every few seconds.

A command works on the AWS whose buckets the environment names. If it names none, the command works on the local AWS:
the one that `dev` runs, or one that is started for the command's own duration. The next command finds the same data.

`stock-pipeline --stack NAME …` (or `STOCK_PIPELINE_STACK`) works on a stack that `make deploy` made. The stack's
outputs in CloudFormation replace the settings below, so you need no other setting. Region and credentials are those of
AWS itself (`AWS_REGION`, `AWS_PROFILE`). They need the permission `cloudformation:DescribeStacks`.

<!-- not run: deploy -->
```
stock-pipeline --stack stock-pipeline-main doctor
stock-pipeline --stack stock-pipeline-main sql "SELECT count(*) FROM price_by_date"
```
"""

SETTINGS = """## Settings

Settings are environment variables. A blank variable counts as unset.

| variable | meaning | default |
|---|---|---|"""

AWS_SETTINGS = """
The variables of AWS itself say which AWS it is, and who you are there: `AWS_PROFILE`, `AWS_REGION`,
`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL`, … `stock-pipeline dev` sets them for its processes.
"""

TABLES_HEAD = """## Tables

The tables are in the Glue database `stock_market`, as Parquet in the lake bucket. Athena and DuckDB use the same names.
All times are UTC.
"""

REASONS_HEAD = """## Reasons

The column `reason` of `rejected_records` says why a row is not in its table.

| reason | meaning |
|---|---|"""

RECEIPTS = """## Receipts

A receipt says what one ingest did with one source object. `stock-pipeline ingest --json` prints it as a line of JSON,
and the functions return it. Always, `rows = inserted + duplicates + updated + conflicts + the sum of rejected +
skipped`.

| field | meaning |
|---|---|
| `source`, `etag` | the object's key in staging, and the identity of the content that was read |
| `table` | the table that it was ingested into |
| `bytes` | the object's size as it is stored |
| `rows` | rows that the object holds |
| `inserted` | rows that are in the table because of this ingest |
| `duplicates` | rows whose values were there already, stored or earlier in the same ingest |
| `updated` | rows that completed a stored row: it lacked some of their values |
| `conflicts` | rows whose key was there with other values |
| `rejected` | rows that break a rule, by reason |
| `skipped` | records that are not rows of this table on purpose |
| `nulled` | optional values that were bad, so that their rows were stored without them, by reason |
| `unread` | columns of the file that nobody reads |
| `decided` | what could be read in several ways, and the evidence or the hint that decided it |
| `rescaled` | one line for each symbol whose conflicts have one cause, such as a split |
| `replaced` | how many of `inserted` replaced other values (a restatement) |
| `refused` | why the object was refused whole, or null; every count is then 0 |
| `partitions` | rows of this source by partition |
| `started_at`, `seconds` | when it began, and how long it took |
| `loaded_at` | the `etl_loading_ts` of the rows that it stored or completed |
"""


TICKS_HEAD = """## Ticks

A tick is a JSON object in a line. A line may also hold an array of such objects, or several objects joined without a
newline. Keys are case-sensitive. Numbers may be texts.

A time without a zone is UTC. These forms are read: `YYYY-MM-DD HH:MM:SS[.f]` (also with `T`, a comma, an offset, `Z`,
` UTC`), FIX's `YYYYMMDD-HH:MM:SS[.f]`, `{"seconds", "nanoseconds"}`, and epochs, as a number or a text, with or without
a fraction. The size of an epoch tells its unit: below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds,
else nanoseconds. Nanoseconds count for the order of trades.

In the table, a path has keys and places in arrays. `[]` means every trade of a list. Of two names with `or`, the first
that has a value counts.

| form | told by | symbol | price | size | time | id |
|---|---|---|---|---|---|---|"""

SALE_CONDITIONS = f"""### Which trades set the latest price

The latest price of a symbol is that of its greatest tick. A tick that may set the last price is greater than one that
may not. Then the order is by time, nanoseconds, the venue's sequence, the number of the trade, and line and place in
its object. A trade with one of these codes may not set the last price, and is shown only as long as its symbol has no
other. All other trades may set it, also those without codes.

- Alpaca: {" ".join(f"`{code}`" for code in sorted(ALPACA))}, and `B` on tapes A and B
- Massive: {" ".join(f"`{code}`" for code in sorted(MASSIVE, key=int))}
- Both: a trade that a reporting facility reports more than {LATE_REPORT // 1_000_000} s late

The codes of Finnhub are stored and change nothing, because no source confirms their rules. A cancelled trade stays in
history and is never shown. A corrected trade counts at the time of the trade that it corrects
([decision 16](adr/016-trades-taken-back.md)). Athena keeps milliseconds; use DuckDB for the order within one.
`read_ticks` gives the same ticks on both engines, up to the microsecond of its bounds.
"""

TICK_IDS = """### What an id promises

The key of a tick is its symbol and its event id. A tick that is delivered again adds nothing.

- An id of this project's own form is taken as it is. It must be unique within its symbol. The same id with other
  values is a `conflict` if both times are in one object of history (one bucket of event time). With a time in another
  bucket it is another row; the check `event_ids_unique` names such pairs.
- A vendor's id becomes `vendor:…:id`, together with the scope in which it is unique. For Alpaca and Massive that is
  the exchange, the reporting facility, the session (the date in New York) and the trade's own time in nanoseconds,
  because their numbers begin anew each session. For Coinbase it is the product, for tardis and cryptofeed the exchange.
- An id of 0, or of zeros only, counts as none. A tick without an id gets one from its object's key, the object's
  content and its place in the object. So the same object adds nothing if it is delivered again or copied to another
  bucket, in whatever way it was uploaded. A message that a producer sends twice, or that is in two objects, is two
  rows.
- Alpaca's cancels (`x`) and corrections (`c`) find their trade by symbol, exchange, session, number, price and size.

A one-letter class after a dash or slash gets a dot (`BRK-B` is `BRK.B`, Yahoo's `AGM-A` is `AGM.A`). So do not mix a
vendor who writes preferred shares with a dash and one who writes classes with a dash. Databento's prices without a
point are billionths.
"""

SKIPPED_HEAD = """### What is skipped, and what is not known

The messages in this table hold no trade, so they are skipped and counted. A message that has none of the forms above
and is not in this table is rejected once as `unknown_message`, with the nearest forms. Bitfinex, Gemini v1 and Kite
name the symbol only in their subscription. Their messages are rejected once as `missing_symbol`, unless you add a
symbol to them. An empty list of trades is skipped.

In the table, `*` means any text. A key without `=` must be there. A message that is known by its keys alone has no
other keys, unless `...` is written.

| vendor | messages |
|---|---|"""


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
        daily_files.section(),
        REASONS_HEAD + "\n" + "\n".join(f"| `{r.value}` | {text} |" for r, text in REASONS.items()) + "\n",
        RECEIPTS,
        TICKS_HEAD + "\n" + "\n".join(_forms()) + "\n",
        SALE_CONDITIONS,
        TICK_IDS,
        SKIPPED_HEAD + "\n" + "\n".join(_skipped()) + "\n",
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


def _forms() -> Iterator[str]:
    """A line for each form of tick."""
    for shape in FORMS.shapes[:-1]:  # the last is the first one without its time
        told = ", ".join(f"`{sign.text}`" for sign in shape.signs).replace("|", "\\|")
        cells = [_place(shape, role) for role in ("symbol", "price", "size", "time", "id")]
        yield f"| {shape.name} | {told} | {' | '.join(cells)} |"


def _place(shape: Shape, role: str) -> str:
    """Where a field is, as a path from the message on."""
    text = getattr(shape, role)
    if not text:
        return "none"
    way = f"{shape.trades.replace('.*.', '[].')}[]." if shape.trades else ""
    names = [name[1:] if name.startswith("/") else f"{way}{name}" for name in text.split("|")]
    inside = f" (in `{shape.inside}`)" if role == "symbol" and shape.inside not in ("", "*") else ""
    return " or ".join(f"`{name}`" for name in names) + inside


def _skipped() -> Iterator[str]:
    """A line for each vendor that has messages without trades."""
    for vendor, others in groupby(OTHERS, key=lambda other: other.vendor):
        texts = "; ".join(f"`{other.what}`" for other in others).replace("|", "\\|")
        yield f"| {vendor} | {texts} |"


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
