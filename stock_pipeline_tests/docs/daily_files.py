"""The section *Daily files* of the reference: the rules in the form in which a person can hold a file against them."""

from __future__ import annotations

from collections.abc import Iterator

from stock_pipeline.parse.daily.columns import ALIASES, LOTS
from stock_pipeline.parse.daily.exchange_zones import SUFFIXES
from stock_pipeline.parse.symbols import GRAMMAR

_RULES = """## Daily files

What is read of a file under `daily_prices/`, and how. Nothing is guessed: what could be read in two ways is decided
by evidence in the file, which the receipt names (`decided`), or by a hint, or the file is refused with the hint in
the message. The order of the rows is never evidence.

### Hints

| option of `ingest` | folder of the key | says |
|---|---|---|
| `--symbol AAPL` | `symbol=AAPL/` | the symbol of a file that names none |
| `--timezone Asia/Kolkata` | `timezone=Asia-Kolkata/` | the exchange's zone, in which an instant is a session's date |
| `--dates dmy` (or `mdy`, `ymd`) | `dates=dmy/` | the order of day, month and year in dates of three numbers |
| `--decimal comma` (or `point`) | `decimal=comma/` | the decimal mark |
| `--unit 100` | `unit=100/` | how many shares one unit of the volume is |

A hint decides where the file gives no evidence. A file that contradicts it is refused, and so are two hints that
contradict each other.

### Shape

- Plain text, gzipped text, or a zip with one CSV (a report beside it is left alone), in UTF-8, UTF-16 or UTF-32 with
  a mark, or Windows-1252. Columns are separated by comma, semicolon, tab or |.
- The header is the first of 20 lines that names a date and a close. Lines before it are skipped, and so is the same
  header again. A header in the middle in another order is obeyed; one that cannot be read refuses the file.
- A row of one cell more than the header is read if its last cell is blank in all of them, or if the column that
  nobody declared has one place only that leaves dates and bars sound; where only the volume is then open, it is left
  out.
- Refused: one column a symbol (wide), several symbols side by side (`Close.1`), futures and options (a column of
  expiries, strikes or option types with values in it), intraday, weekly and monthly bars.
- Columns that nobody reads are named in the receipt (`unread`).
"""

_NAMES = """### Names of columns

Without case, accents, blanks and the characters `_ . < > *`. Of several names in a file the first of the list counts.
"""

_RULES_BELOW = """### Who: the symbol

- A symbol is {grammar}. Its letters keep their case (`BCpC` is not `BCPC`), but `aapl` and `Aapl` are `AAPL`; class
  shares have a dot (`BRK-B`, `BRK/B`, `BRK B`, `BRK_B` → `BRK.B`).
- It comes from the symbol's column, else from the hint, else from the file's name (`AAPL.csv`). A column called name,
  company, stock or instrument counts where it holds tickers in capitals.
- NSE's series: EQ, BE, BZ, SM and ST are the share, any other is an instrument of its own (`PQR-N2`).
- Lines of one file with other values for one symbol and date are all rejected as `ambiguous`, each naming the other;
  so are lines of one day with different times. A blank contests nothing.

### When: the date

- Read wherever they stand: `2024-01-02`, `20240102`, `2024/1/2`, `2 Jan 2024`, `Jan 2, 2024`, months in the languages
  of the usual vendors, with the name of the weekday or without. A time without an offset is no part of it.
- Three numbers with the year last, or with two digits: one text that fits one order only decides (13/01/2024). Else
  the spacing does: the one order that gives sessions in a row without weekends, where every other gives weekends or
  dates weeks apart. Else: refused, `--dates`.
- Instants (epochs, times with an offset): all at 00:00 UTC are those dates. Midnight with an offset of its own is the
  date that it shows, and so is a live row among such. Otherwise the exchange's zone decides: of the hint, else of the
  symbol's suffix (below), else New York's, if all are at 00:00, 09:30 or 16:00 there. Else: refused, `--timezone`. A
  zone that puts sessions on a weekend, where a day later or earlier none would be, refuses the file, too.
- Serial numbers of a spreadsheet (45293) are refused: format the column as dates.
- From 1900-01-01 to tomorrow.

### How much: numbers

- The decimal mark is one for all prices. A price proves it that can be read in one way only (`1,0931`, `0,125`;
  `1,234.50`, `12,34,567`). Between commas the point is the decimal mark unless commas in quotes prove another. Proofs
  of both, or a price that could be either (`1,234`) where nothing is proven: refused, `--decimal`. A volume follows
  the prices; where these prove nothing it is a whole number.
- Blanks, no-break and narrow spaces and apostrophes separate thousands. Currency signs and codes around a price are
  read, and `12.34M`, `567.8K`, `1.2B` as volumes. tushare counts its volume in lots of {lot}: a vendor's unit belongs
  to its layout.
- Blank, `-`, `null`, `None`, `NaN`, `N/A`, `#N/A` are missing.
- Symbol, date and close make a bar. Another value that cannot be taken (not a number, a price of zero or below, a
  volume below zero or of 2^53 and more) is null in the row, counted in the receipt (`nulled`) and on record: the row
  in `rejected_records` says what it is stored without.
- A bar whose high is below, or low above, another of its prices is rejected, but for the last digits of a double.

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
