"""The figures of the board, in the form that Plotly has for them: a list of traces and a layout.

They are plain dicts of numpy arrays, because plotly's own classes for them take half a second to import. Colours are
not here: the page's theme has them, for light, dark and paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from stock_pipeline.board.bars import Bars, Floats, Times

Figure = dict[str, Any]

_UPPER, _LOWER = [0.27, 1], [0, 0.2]
_STATES = ("no bar yet, or no longer", "bar", "missing")
_ROW = 17  # pixels


def prices(symbol: str, bars: Bars, adjusted: Floats | None, breaks: Sequence[Mapping[str, Any]]) -> Figure:
    """The bars of a symbol over its volume. Closes are a line where some bar lacks its open, high or low.

    `adjusted` are the adjusted closes, a line that a click on the legend shows. `breaks` are Plotly's `rangebreaks`.
    """
    traces = [_candles("price", bars) if bars.whole else _line("close", bars.at, bars.close)]
    if adjusted is not None:
        traces.append(_line("adjusted close", bars.at, adjusted) | {"visible": "legendonly"})
    traces.append(_volume("volume", bars.at, bars.volume))
    layout = _two_rows(f"prices of {symbol}", "price", "volume")
    layout["xaxis"] |= {"type": "date", "rangebreaks": list(breaks)}
    return {"data": traces, "layout": layout}


def ticks(symbol: str, bars: Bars, length: str, times: Times, values: Floats) -> Figure:
    """The bars of a day's ticks with the line of the ticks, over what was traded."""
    traces = [
        _candles(f"bars of {length}", bars),
        _line("ticks", times, values) | {"line": {"width": 1, "shape": "hv"}, "opacity": 0.75},
        _volume("traded", bars.at, bars.volume),
    ]
    layout = _two_rows(f"ticks of {symbol}", "price", "traded")
    layout["xaxis"] |= {"type": "date", "title": {"text": "UTC"}}
    return {"data": traces, "layout": layout}


def completeness(days: Sequence[date], symbols: Sequence[str], states: npt.NDArray[np.int8]) -> Figure:
    """A row for each symbol, a column for each session, a state in each cell. The page makes texts of the states by
    their names in `meta`.
    """
    names = [day.isoformat() for day in days]
    quarters = [at for at, day in enumerate(days) if day.month % 3 == 1 and (not at or days[at - 1].month != day.month)]
    trace = {
        "type": "heatmap", "x": names, "y": list(symbols), "z": states, "zmin": 0, "zmax": 2, "showscale": False,
        "ygap": 1, "meta": _STATES, "hovertemplate": "%{y} %{x}: %{text}<extra></extra>",
    }  # fmt: skip
    layout = {
        "height": 80 + _ROW * len(symbols),
        "xaxis": {"type": "category", "tickvals": [names[at] for at in quarters],
                  "ticktext": [f"{days[at]:%b}" for at in quarters], "tickangle": 0, "showgrid": False},
        "yaxis": {"type": "category", "autorange": "reversed", "automargin": True, "showgrid": False,
                  "tickmode": "linear", "dtick": 1},
        "meta": {"name": "sessions of each symbol"},
    }  # fmt: skip
    return {"data": [trace], "layout": layout}


def rejected(reasons: Sequence[str], counts: Mapping[str, Sequence[int]]) -> Figure:
    """A bar for each reason, made of the records of each table."""
    totals = [sum(each) for each in zip(*counts.values(), strict=True)]
    traces = [
        {"type": "bar", "orientation": "h", "name": table, "y": list(reasons), "x": list(each),
         "hovertemplate": "%{y}: %{x:,}<extra>%{fullData.name}</extra>"}
        for table, each in counts.items()
    ]  # fmt: skip
    layout = {
        "barmode": "stack", "height": 110 + 28 * len(reasons), "showlegend": True,
        "yaxis": {"type": "category", "autorange": "reversed", "automargin": True, "showgrid": False},
        "xaxis": {"title": {"text": "records"}, "rangemode": "tozero", "tickformat": ",~d"} | _whole(totals),
        "meta": {"name": "rejected records by reason"},
    }  # fmt: skip
    return {"data": traces, "layout": layout}


def lags(minutes: Times, median: Floats, longest: Floats) -> Figure:
    """From the trade to the table, for the ticks of each minute: the median, and the longest."""
    points = {"mode": "lines+markers" if len(minutes) < 200 else "lines", "marker": {"size": 4}}
    traces = [_line("median", minutes, median) | points, _line("longest", minutes, longest) | points]
    layout = {
        "yaxis": {"type": "log", "title": {"text": "seconds"}}, "xaxis": {"type": "date",
        "title": {"text": "UTC"}}, "hovermode": "x unified", "showlegend": True, "meta": {"name": "lags of ticks"},
    }  # fmt: skip
    return {"data": traces, "layout": layout}


def _whole(totals: Sequence[int]) -> dict[str, Any]:
    """The steps of an axis of counts: Plotly would give small ones halves."""
    return {"dtick": 1} if max(totals) < 8 else {}


def _candles(name: str, bars: Bars) -> dict[str, Any]:
    values = {each: getattr(bars, each) for each in ("open", "high", "low", "close")}
    return {"type": "candlestick", "name": name, "x": bars.at, **values}


def _line(name: str, times: Times, values: Floats) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "name": name, "x": times, "y": values}


def _volume(name: str, times: Times, values: Floats) -> dict[str, Any]:
    return {"type": "bar", "name": name, "x": times, "y": values, "yaxis": "y2", "showlegend": False}


def _two_rows(name: str, upper: str, lower: str) -> dict[str, Any]:
    return {
        "height": 430, "hovermode": "x", "showlegend": True, "meta": {"name": name}, "bargap": 0.1,
        "xaxis": {"rangeslider": {"visible": False}, "anchor": "y2"},
        "yaxis": {"domain": _UPPER, "title": {"text": upper}, "tickformat": ",~f"},
        "yaxis2": {"domain": _LOWER, "title": {"text": lower}, "rangemode": "tozero"},
    }  # fmt: skip
