"""The checks of `doctor` on Dagster: its definitions, its daemon's heartbeats, how long ago each sensor ticked.

It looks at the `dev` that runs here, else at the UI that STOCK_PIPELINE_DAGSTER_URL names (of `serve`, which a person
reaches by port forwarding).
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from stock_pipeline.cli.doctor.diagnosis import Diagnosis
from stock_pipeline.local.dev.dagster import Dagster, Signs
from stock_pipeline.local.dev.health import BEATS_WITHIN
from stock_pipeline.local.dev.session import found
from stock_pipeline.settings import Settings, variable

_TICKS_WITHIN = 180.0  # and a sensor's tick takes up to 60 s, beside its interval

_START_DEV = "see .local/logs/daemon.log; stop `dev` and start it again"
_START_SERVE = "see the log of `stock-pipeline serve daemon`; systemd or ECS starts it again when it is ended"


def dagster(settings: Settings) -> Iterator[Diagnosis]:
    """The state of the Dagster that runs here, or that the settings name."""
    note = found()
    if note is None and not settings.dagster_url:
        remedy = f"stock-pipeline dev; for one that runs elsewhere, forward its port and set {variable('dagster_url')}"
        yield Diagnosis("Dagster", "note", "is not running", remedy)
        return
    there = Dagster(note.url if note else str(settings.dagster_url))
    state = there.state()
    if not state.loaded:
        remedy = "fix the code, then click Reload in the UI (Deployment)"
        yield Diagnosis("Dagster", "broken", f"{there.url}: the definitions do not load: {state.error}", remedy)
        return
    if note and note.processor != settings.processor:
        what = f"{there.url}: runs with the processor {note.processor}, this shell has {settings.processor}"
        yield Diagnosis("Dagster", "note", what, f"unset {variable('processor')}, or start `dev` again")
    else:
        yield Diagnosis("Dagster", "ok", f"{there.url}: definitions loaded")
    signs, remedy = there.signs(), _START_DEV if note else _START_SERVE
    yield _daemon(signs, state.unhealthy, remedy)
    yield _sensors(signs, remedy)


def _daemon(signs: Signs, unhealthy: dict[str, str], remedy: str) -> Diagnosis:
    now = time.time()
    silent = {name: "no heartbeat" for name, beat in signs.heartbeats.items() if not beat or now - beat > BEATS_WITHIN}
    silent |= {name: why for name, why in unhealthy.items() if why}
    if silent:
        which = "; ".join(f"{name.lower()} ({why})" for name, why in sorted(silent.items()))
        return Diagnosis("daemon", "broken", f"not healthy: {which}", remedy)
    if not signs.heartbeats:
        return Diagnosis("daemon", "broken", "no heartbeat", remedy)
    oldest = max(now - (beat or 0.0) for beat in signs.heartbeats.values())
    return Diagnosis("daemon", "ok", f"all daemons healthy, the oldest heartbeat is of {max(oldest, 0):.0f} s ago")


def _sensors(signs: Signs, remedy: str) -> Diagnosis:
    now, lags, late = time.time(), {}, []
    for name, (ticks, interval) in signs.ticks.items():
        times = [float(tick["timestamp"]) for tick in ticks] if isinstance(ticks, list) else []
        lags[name] = f"{max(now - max(times), 0):.0f} s ago" if times else "never"
        if not times or now - max(times) > _TICKS_WITHIN + 2 * interval:
            late.append(name)
    if not lags:
        return Diagnosis("sensors", "note", "no sensor is on", "turn them on in the UI (Automation)")
    shown = ", ".join(f"{name} {lag}" for name, lag in sorted(lags.items()) if not late or name in late)
    if late:
        return Diagnosis("sensors", "broken", f"late: last ticks {shown}", remedy)
    return Diagnosis("sensors", "ok", f"last ticks: {shown}")
