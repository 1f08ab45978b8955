"""Small charts for the metadata of runs: prices, rejected rows by reason, lags. Drawn as SVG, shown as markdown.

The UI shows markdown of fewer than 1,000 characters at once and hides longer markdown behind a button. To be visible, a
chart must be an SVG of about 700 bytes. No plotting library makes such small ones, so this module writes the paths
itself. The colours are mid-tones without a background, readable in the light and the dark theme. An SVG in an image
runs no scripts and loads nothing. Every text in it is escaped and the whole is percent-encoded, so that no content can
end the image and go on as markdown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from urllib.parse import quote

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

INLINE = 1_000
"""The UI hides markdown of this many characters or more behind a button."""

Numbers = NDArray[np.float64]
Ints = NDArray[np.int64]

_TEXT, _LINE, _NEW, _BAD = "#808a97", "#4c8dd6", "#2f9e63", "#d9604c"
_WIDTH, _HEIGHT = 400, 106
_TOP, _BOTTOM = 22, 86  # y of the drawing between its captions
_PLOT = 340  # width of the drawing; the values are to the right of it
_BINS = (120, 90, 75, 60, 50, 40, 30, 20, 12)
"""The numbers of points that a line of prices is tried with, until the chart is small enough."""

_LAGS = (1, 2, 5, 10, 30, 60, 300, 3_600, 86_400)
_LAG_NAMES = ("<1 s", "1 s", "2 s", "5 s", "10 s", "30 s", "1 min", "5 min", "1 h", "1 d")
_REASONS = 5  # reasons that have a bar; a sixth bar is for all others
_SAFE = (
    " ='/:,;+!*@$-._~"  # besides letters and digits; other characters may have a meaning in markdown or in addresses
)


def prices(rows: pa.Table, time: str, price: str, new: pa.Table | None = None) -> str | None:
    """A line of prices over time. For several symbols: rebased to 100, their median and a band with 90 % of them.

    `rows` has `symbol`, a date or time, and a price, in any order. `new` has the rows that were just written; the chart
    underlines their times. None when there is nothing to draw.
    """
    values = rows[price].to_numpy()
    good = np.isfinite(values) & (values > 0)
    rows, values = rows.filter(pa.array(good)), values[good]
    if not rows.num_rows:
        return None
    times, written = _times(rows, time), _times(rows if new is None else new, time)
    codes, symbols = _symbols(rows)
    several = len(symbols) > 1
    if several:
        values = 100 * values / _first_of_each(codes, times, values)[codes]
        title = f"{len(symbols):,} symbols, rebased to 100: median, middle 90 %"
    else:
        title = f"{symbols[0]}: {price}"
    captions = [_text(0, 12, f"{title}; green: new"), *_ends(times, dates=pa.types.is_date(rows[time].type))]
    return _fitting("prices", (captions + _course(times, values, written, bins, band=several) for bins in _BINS))


def rejected(counts: Mapping[str, int]) -> str | None:
    """The number of rejected rows by reason, the most frequent first. None when no rows were rejected."""
    ordered = sorted(((n, reason) for reason, n in counts.items() if n), reverse=True)
    if not ordered:
        return None
    if others := sum(n for n, _ in ordered[_REASONS:]):
        ordered = [*ordered[:_REASONS], (others, "others")]
    most = max(n for n, _ in ordered)
    path = "".join(f"M0 {20 + 16 * at}h{max(round(200 * n / most), 1)}v10H0z" for at, (n, _) in enumerate(ordered))
    texts = [_text(208, 29 + 16 * at, f"{n:,} {reason}") for at, (n, reason) in enumerate(ordered)]
    drawing = [_text(0, 12, "rejected rows by reason"), f"<path d='{path}' fill='{_BAD}'/>", *texts]
    return _markdown("rejected by reason", drawing, height=24 + 16 * len(ordered))


def lags(seconds: Numbers, title: str) -> str | None:
    """The distribution of lags, in steps from under a second to over a day. None when there are no lags."""
    if not len(seconds):
        return None
    counts = np.bincount(np.searchsorted(_LAGS, seconds, "right"), minlength=len(_LAG_NAMES))
    width = _WIDTH // len(_LAG_NAMES)
    heights = np.ceil((_BOTTOM - _TOP) * counts / counts.max()).astype(int)
    path = "".join(
        f"M{at * width} {_BOTTOM}v-{height}h{width - 6}v{height}z" for at, height in enumerate(heights) if height
    )
    names = [_text(at * width, _BOTTOM + 14, name) for at, name in enumerate(_LAG_NAMES)]
    caption = _text(0, 12, f"{title}: median {_span(float(np.median(seconds)))}, longest {_span(float(seconds.max()))}")
    return _markdown("lags", [caption, f"<path d='{path}' fill='{_LINE}'/>", *names])


def moves(symbols: Sequence[str], changes: Numbers) -> str | None:
    """The change of each symbol as a bar, from the greatest loss to the greatest gain (0.01 is one per cent)."""
    if not len(changes):
        return None
    order = np.argsort(changes, kind="stable")
    ordered = changes[order][np.linspace(0, len(changes) - 1, min(len(changes), 40)).astype(int)]
    most = max(float(np.abs(ordered).max()), 1e-9)
    middle, step = (_TOP + _BOTTOM) // 2, _PLOT // len(ordered)
    lengths = np.round(ordered / most * (_BOTTOM - _TOP) / 2).astype(int)

    def bars(chosen: Iterable[tuple[int, int]]) -> str:
        return "".join(f"M{at * step} {middle}v{-n}h{max(step - 2, 1)}v{n}z" for at, n in chosen)

    falling = bars((at, int(n)) for at, n in enumerate(lengths) if n < 0)
    rising = bars((at, int(n)) for at, n in enumerate(lengths) if n > 0)
    low, high = (f"{symbols[at]} {changes[at]:+.1%}" for at in (order[0], order[-1]))
    return _markdown(
        "moves",
        [
            _text(0, 12, f"{len(changes):,} symbols, open to close"),
            f"<path d='{falling}' fill='{_BAD}'/><path d='{rising}' fill='{_NEW}'/>",
            _text(0, _HEIGHT - 6, low),
            _text(_PLOT, _HEIGHT - 6, high, end=True),
        ],
    )


def _times(rows: pa.Table, time: str) -> Ints:
    """Dates or times in microseconds since 1970."""
    times: Ints = rows[time].cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
    return times


def _symbols(rows: pa.Table) -> tuple[Ints, list[str]]:
    """The symbol of each row as an index into the symbols that occur."""
    encoded = rows["symbol"].cast(pa.string()).combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()


def _first_of_each(codes: Ints, times: Ints, values: Numbers) -> Numbers:
    """The earliest value of each symbol."""
    order = np.lexsort((times, codes))
    _, starts = np.unique(codes[order], return_index=True)
    return values[order][starts]


def _course(times: Ints, values: Numbers, written: Ints, bins: int, *, band: bool) -> list[str]:
    """The line of the medians, the band around it, the mark of the new rows, and the highest and lowest value."""
    wide = bins // 3  # so that weekends leave no gaps
    x, (middle,) = _quantiles(times, values, bins, (0.5,))
    around, (low, high) = _quantiles(times, values, wide, (0.05, 0.95)) if band else (x, (middle, middle))
    bottom, top = float(min(low.min(), middle.min())), float(max(high.max(), middle.max()))
    scale = (_BOTTOM - _TOP) / (top - bottom or 1.0)

    def points(at: Ints, line: Numbers) -> list[tuple[int, int]]:
        return list(zip(at.tolist(), np.round(_BOTTOM - (line - bottom) * scale).astype(int).tolist(), strict=True))

    edge = _path(points(around, high) + points(around, low)[::-1])
    new = "".join(f"M{left} {_BOTTOM + 4}H{right}" for left, right in _stretches(_bin_of(written, times, wide), wide))
    return [
        f"<path d='{edge}z' fill='{_LINE}' opacity='.3'/>" if band else "",
        f"<path d='{_path(points(x, middle))}h2' fill='none' stroke='{_LINE}' stroke-width='2'/>",
        f"<path d='{new}' stroke='{_NEW}' stroke-width='4'/>" if new else "",
        _text(_PLOT + 8, _TOP + 8, _number(top)),
        _text(_PLOT + 8, _BOTTOM, _number(bottom)) if top > bottom else "",
    ]


def _quantiles(times: Ints, values: Numbers, bins: int, wanted: Sequence[float]) -> tuple[Ints, list[Numbers]]:
    """The bins of the drawing that have values, and the quantiles in each."""
    at = _bin_of(times, times, bins)
    order = np.argsort(at, kind="stable")
    used, starts = np.unique(at[order], return_index=True)
    groups = np.split(values[order], starts[1:])
    return _x(used, bins), [np.array([np.quantile(group, q) for group in groups]) for q in wanted]


def _bin_of(moments: Ints, times: Ints, bins: int) -> Ints:
    """For each of `moments`, in which of `bins` equal parts of the span of all times it is."""
    first, last = int(times.min()), int(times.max())
    return np.clip((moments - first) * bins // max(last - first, 1), 0, bins - 1)


def _x(at: Ints, bins: int) -> Ints:
    return np.round(at * _PLOT / (bins - 1)).astype(np.int64)


def _stretches(at: Ints, bins: int) -> list[tuple[int, int]]:
    """Where unbroken stretches of bins begin and end in the drawing. A stretch of one bin is still visible."""
    used = np.unique(at)
    groups = np.split(used, np.flatnonzero(np.diff(used) > 1) + 1) if len(used) else []
    return [(int(_x(group[:1], bins)[0]), int(_x(group[-1:], bins)[0]) + 3) for group in groups]


def _path(points: Sequence[tuple[int, int]]) -> str:
    """A line through points as an SVG path of relative steps, in as few characters as possible."""
    (x, y), steps = points[0], []
    for to_x, to_y in points[1:]:
        steps.append(f"{to_x - x}{'' if to_y < y else ' '}{to_y - y}")
        x, y = to_x, to_y
    joined = "".join(step if at == 0 or step.startswith("-") else f" {step}" for at, step in enumerate(steps))
    return f"M{points[0][0]} {points[0][1]}" + (f"l{joined}" if steps else "")


def _ends(times: Ints, *, dates: bool) -> list[str]:
    """The first and the last time, below the drawing."""
    first, last = int(times.min()), int(times.max())
    start, end = (datetime.fromtimestamp(moment / 1e6, UTC) for moment in (first, last))
    short = "%Y-%m-%d" if dates else "%H:%M:%S"
    begin = f"{start:%Y-%m-%d}" if dates else f"{start:%Y-%m-%d %H:%M:%S} UTC"
    captions = [_text(0, _HEIGHT - 4, begin)]
    return captions if first == last else [*captions, _text(_PLOT, _HEIGHT - 4, format(end, short), end=True)]


def _text(x: int, y: int, text: str, *, end: bool = False) -> str:
    anchor = " text-anchor='end'" if end else ""
    return f"<text x='{x}' y='{y}'{anchor}>{escape(text, quote=False)}</text>"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def _span(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def _fitting(name: str, drawings: Iterable[Sequence[str]]) -> str:
    """The first drawing that is small enough for the UI to show at once; each is coarser than the one before."""
    for drawing in drawings:
        if len(found := _markdown(name, drawing)) < INLINE:
            return found
    return found


def _markdown(name: str, drawing: Sequence[str], height: int = _HEIGHT) -> str:
    """A drawing as an image in markdown. Spaces may stay, because the address is in angle brackets."""
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{_WIDTH}' height='{height}' font-size='12' "
        f"font-family='sans-serif' fill='{_TEXT}'>{''.join(drawing)}</svg>"
    )
    return f"![{name}](<data:image/svg+xml,{quote(svg, safe=_SAFE)}>)"
