"""The section *Daily files* of the reference: the rules, so that a person can compare a file with them."""

from __future__ import annotations

from collections.abc import Iterator

from stock_pipeline.parse.daily.columns import ALIASES, LOTS
from stock_pipeline.parse.daily.exchange_zones import SUFFIXES
from stock_pipeline.parse.symbols import GRAMMAR

_RULES = """## Daily files

These are the rules for files under `daily_prices/`. Nothing is guessed. If something can be read in two ways, evidence
in the file decides, and the receipt names it (`decided`). Without evidence a hint decides. Without a hint the file is
refused, and the message names the hint. The order of the rows is never evidence.

### Hints

| option of `ingest` | folder of the key | says |
|---|---|---|
| `--symbol AAPL` | `symbol=AAPL/` | the symbol of a file that names none |
| `--timezone Asia/Kolkata` | `timezone=Asia-Kolkata/` | the exchange's zone, in which an instant is a session's date |
| `--dates dmy` (or `mdy`, `ymd`) | `dates=dmy/` | the order of day, month and year in dates of three numbers |
| `--decimal comma` (or `point`) | `decimal=comma/` | the decimal mark |
| `--unit 100` | `unit=100/` | how many shares one unit of the volume is |

A hint decides only where the file gives no evidence. A file that contradicts a hint is refused. A file with two hints
that contradict each other is refused, too.

### Shape

- A file is plain text, gzipped text, or a zip with one CSV (a report beside it is ignored). Its encoding is UTF-8,
  UTF-16 or UTF-32 with a byte order mark, or Windows-1252. Columns are separated by comma, semicolon, tab or |.
- The header is the first of 20 lines that names a date and a close. Lines before it are skipped. The same header again
  is skipped, too. If a later header has another order, the rows after it are read in that order. If it cannot be read,
  the file is refused.
- Rows may have one cell more than the header. They are read if this last cell is blank in all of them, or if only one
  place for the extra column gives sound dates and bars. If then only the volume is in doubt, it is left out.
- These are refused: one column a symbol (wide), several symbols side by side (`Close.1`), futures and options (a column
  of expiries, strikes or option types with values in it), intraday, weekly and monthly bars.
- The receipt names columns that nobody reads (`unread`).
"""

_NAMES = """### Names of columns

Names are compared without case, accents, blanks and the characters `_ . < > *`. If a file has several of these names,
the first of the list counts.
"""

_RULES_BELOW = """### Who: the symbol

- A symbol is {grammar}. Its letters keep their case (`BCpC` is not `BCPC`), but `aapl` and `Aapl` are `AAPL`; class
  shares have a dot (`BRK-B`, `BRK/B`, `BRK B`, `BRK_B` → `BRK.B`).
- It comes from the symbol's column, else from the hint, else from the file's name (`AAPL.csv`). A column called name,
  company, stock or instrument counts if it holds tickers in capitals.
- NSE's series EQ, BE, BZ, SM and ST are the share. Any other series is an instrument of its own (`PQR-N2`).
- Lines of one file with different values for one symbol and date are all rejected as `ambiguous`, and each record names
  another line. Lines of one day with different times are rejected, too. A blank contradicts nothing.

### When: the date

- These forms are always read: `2024-01-02`, `20240102`, `2024/1/2`, `2 Jan 2024`, `Jan 2, 2024`, with months in the
  languages of the usual vendors, with or without the name of the weekday. A time without an offset is ignored.
- Three numbers with the year last, or with a year of two digits, can be in several orders. A date that fits only one
  order decides (13/01/2024). Otherwise the spacing decides: one order gives sessions in a row without weekends, and
  every other order gives weekends or dates weeks apart. If this does not decide, the file is refused: give `--dates`.
- Instants are epochs and times with an offset. If all are at 00:00 UTC, they are those dates. Midnight with an offset
  of its own is the date that it shows, and so is a live row among such rows. Otherwise the exchange's zone decides: the
  hint's zone, else that of the symbol's suffix (below), else New York's, if all instants are at 00:00, 09:30 or 16:00
  there. If none decides, the file is refused: give `--timezone`. The file is also refused if a zone puts sessions on a
  weekend, and a day later or earlier none would be on a weekend.
- Serial numbers of a spreadsheet (45293) are refused: format the column as dates.
- Dates are from 1900-01-01 to tomorrow.

### How much: numbers

- All prices of a file have the same decimal mark. A price that can be read in only one way proves it (`1,0931`,
  `0,125`; `1,234.50`, `12,34,567`). If commas separate the columns, the decimal mark is the point, unless commas in
  quotes prove another. The file is refused if prices prove both marks, or if nothing is proven and a price could be
  either (`1,234`): give `--decimal`. A volume has the mark of the prices. If they prove nothing, it is a whole number.
- Blanks, no-break and narrow spaces and apostrophes separate thousands. Currency signs and codes around a price are
  read. `12.34M`, `567.8K` and `1.2B` are read as volumes. tushare counts its volume in lots of {lot}; its layout says
  so.
- Blank, `-`, `null`, `None`, `NaN`, `N/A`, `#N/A` are missing values.
- A bar needs a symbol, a date and a close. Any other value may be bad: not a number, a price of zero or below, a
  volume below zero or of 2^53 or more. Such a value is null in the row and counted in the receipt (`nulled`), and a row
  in `rejected_records` says which value is missing.
- A bar is rejected if its high is below another of its prices, or its low above another. Differences in the last digits
  of a double are allowed.

### Suffixes of exchanges

| zone | suffixes |
|---|---|
"""


def section() -> str:
    """The section, with its tables from the code."""
    lot = next(iter(LOTS.values()))
    below = _RULES_BELOW.replace("{grammar}", GRAMMAR).replace("{lot}", str(lot))
    zones = (
        f"| {zone} | {' '.join(f'`.{suffix}`' for suffix in suffixes.split())} |" for zone, suffixes in SUFFIXES.items()
    )
    return f"{_RULES}\n{_NAMES}\n" + "\n".join(_names()) + f"\n\n{below}" + "\n".join(zones) + "\n"


def _names() -> Iterator[str]:
    yield from ("| field | names |", "|---|---|")
    for field, groups in ALIASES.items():
        yield f"| {field} | {', '.join(name for group in groups for name in group)} |"
