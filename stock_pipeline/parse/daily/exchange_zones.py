"""The zone of an exchange by the suffix that Yahoo and others give its symbols: `VOD.L` trades in London."""

from __future__ import annotations

SUFFIXES = {
    "America/New_York": "US",
    "America/Toronto": "TO V CN NE",
    "America/Sao_Paulo": "SA",
    "America/Argentina/Buenos_Aires": "BA",
    "America/Mexico_City": "MX",
    "America/Santiago": "SN",
    "Europe/London": "L IL",
    "Europe/Dublin": "IR",
    "Europe/Lisbon": "LS",
    "Europe/Paris": "PA NX",
    "Europe/Berlin": "DE F BE DU HM HA MU SG",
    "Europe/Amsterdam": "AS",
    "Europe/Brussels": "BR",
    "Europe/Madrid": "MC",
    "Europe/Rome": "MI TI",
    "Europe/Zurich": "SW VX",
    "Europe/Vienna": "VI",
    "Europe/Stockholm": "ST",
    "Europe/Oslo": "OL",
    "Europe/Copenhagen": "CO",
    "Europe/Helsinki": "HE",
    "Europe/Tallinn": "TL",
    "Europe/Riga": "RG",
    "Europe/Vilnius": "VS",
    "Europe/Warsaw": "WA",
    "Europe/Prague": "PR",
    "Europe/Budapest": "BD",
    "Europe/Athens": "AT",
    "Europe/Istanbul": "IS",
    "Atlantic/Reykjavik": "IC",
    "Africa/Johannesburg": "JO",
    "Africa/Cairo": "CA",
    "Asia/Jerusalem": "TA",
    "Asia/Riyadh": "SR SAU",
    "Asia/Qatar": "QA",
    "Asia/Kuwait": "KW",
    "Asia/Dubai": "AE",
    "Asia/Kolkata": "NS BO",
    "Asia/Shanghai": "SS SZ SH",
    "Asia/Hong_Kong": "HK",
    "Asia/Taipei": "TW TWO",
    "Asia/Tokyo": "T",
    "Asia/Seoul": "KS KQ",
    "Asia/Singapore": "SI",
    "Asia/Kuala_Lumpur": "KL",
    "Asia/Jakarta": "JK",
    "Asia/Bangkok": "BK",
    "Asia/Ho_Chi_Minh": "VN",
    "Australia/Sydney": "AX XA",
    "Pacific/Auckland": "NZ",
}
"""The suffixes of each zone's exchanges, without their dots."""

_BY_SUFFIX = {suffix: zone for zone, suffixes in SUFFIXES.items() for suffix in suffixes.split()}

SUNDAY_SESSIONS = frozenset(
    ("Africa/Cairo", "Asia/Jerusalem", "Asia/Riyadh", "Asia/Qatar", "Asia/Kuwait", "Asia/Dubai", "Asia/Bahrain")
)
"""Zones of exchanges that trade, or traded, on Sundays. There a weekday is not evidence."""


def zone_of(symbol: str) -> str | None:
    """The zone of a symbol's exchange suffix; None without a known suffix."""
    name, mark, suffix = symbol.strip(" \t").rpartition(".")
    return _BY_SUFFIX.get(suffix.upper()) if mark and name else None
