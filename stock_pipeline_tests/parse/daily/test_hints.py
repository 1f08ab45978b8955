"""Hints: what they take, where they stand in a key, and that two that contradict each other refuse the file."""

from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.errors import FileRefused
from stock_pipeline.parse.daily.hints import DATE_ORDERS, DECIMAL_MARKS, MAX_UNIT, Hints
from stock_pipeline_tests.support.daily_files import bars, load, refusal

ZONES = [
    "Asia/Kolkata",
    "America/New_York",
    "America/Argentina/Buenos_Aires",
    "America/Port-au-Prince",
    "UTC",
    "Etc/GMT-5",
]


@pytest.mark.parametrize("zone", ZONES)
def test_a_zone_is_named_with_hyphens_in_a_folder(zone):
    folder = zone.replace("/", "-")
    assert Hints.of_key(f"daily_prices/uploads/timezone={folder}/x.csv") == Hints(timezone=zone)
    assert Hints.of_key(f"daily_prices/uploads/timezone={zone.replace('/', '%2F')}/x.csv") == Hints(timezone=zone)


@given(
    st.builds(
        Hints,
        st.none() | st.sampled_from(sorted(available_timezones())),
        st.none() | st.sampled_from(DATE_ORDERS),
        st.none() | st.sampled_from(DECIMAL_MARKS),
        st.none() | st.integers(1, MAX_UNIT),
    )
)
def test_hints_as_folders_are_the_hints_of_the_key(hints):
    assert Hints.of_key(f"daily_prices/uploads/{hints.folders}x.csv") == hints
    assert hints.folders.count("/") == sum(value is not None for value in vars(hints).values())


def test_each_hint_is_a_folder():
    key = "daily_prices/uploads/nse/Timezone=Asia-Kolkata/dates=DMY/decimal=comma/unit=100/symbol=A/timezone=x.csv"
    assert Hints.of_key(key) == Hints("Asia/Kolkata", "dmy", "comma", 100)
    assert Hints.of_key("daily_prices/uploads/x.csv") == Hints()
    assert Hints.of_key("dates=dmy/dates=dmy/x.csv") == Hints(dates="dmy")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("timezone", "Asia/Nowhere", "is not a zone; give a name such as Asia/Kolkata"),
        ("timezone", "../../etc/passwd", "is not a zone"),
        ("timezone", "/etc/localtime", "is not a zone"),
        ("timezone", "", "is not a zone"),
        ("timezone", "a\0b", "is not a zone"),
        ("dates", "ydm", "give one of dmy, mdy, ymd"),
        ("decimal", ".", "give point or comma"),
        ("unit", 0, "give a whole number from 1"),
        ("unit", MAX_UNIT + 1, "give a whole number from 1"),
        ("unit", 1.5, "give a whole number from 1"),
        ("unit", True, "give a whole number from 1"),
    ],
)
def test_what_is_no_hint_is_refused_with_what_is(name, value, says):
    with pytest.raises(FileRefused, match=says.replace("(", "\\(")):
        Hints(**{name: value})


@pytest.mark.parametrize(
    "folder",
    [
        "timezone=Asia-Nowhere",
        "timezone=",
        "timezone=-------",
        "dates=dd",
        "decimal=,",
        "unit=1e3",
        "unit=",
        "unit=9" + "9" * 20,
    ],
)
def test_a_folder_that_is_no_hint_refuses_the_file(folder):
    assert " give " in refusal("date,close\n2024-01-02,1\n", f"daily_prices/uploads/{folder}/AAPL.csv")


def test_two_folders_that_contradict_each_other_refuse_the_file():
    with pytest.raises(FileRefused, match="two folders of the key say dates: dmy and mdy"):
        Hints.of_key("dates=dmy/dates=mdy/x.csv")


def test_a_given_hint_and_a_folder_are_joined_or_refuse_the_file():
    text, key = "date;close\n02/01/2024;1,234\n", "daily_prices/uploads/dates=dmy/AAPL.csv"
    assert [b["close"] for b in bars(load(text, key, hints=Hints(decimal="comma")))] == [1.234]
    assert load(text, key, hints=Hints(decimal="comma", dates="dmy")).decided == {"dates": "hint", "decimal": "hint"}
    message = refusal(text, key, hints=Hints(decimal="comma", dates="mdy"))
    assert message == "dates mdy was given, but a folder of the key says dates=dmy; leave one of them out"


@pytest.mark.parametrize(("unit", "expected"), [(1, 4.5), (100, 450.0)])
def test_a_unit_counts_shares(unit, expected):
    cleaned = load("date,close,volume\n2024-01-02,1,4.5\n", hints=Hints(unit=unit))
    assert bars(cleaned)[0]["volume"] == expected
    assert cleaned.decided == {"unit": "hint"}


def test_a_unit_that_contradicts_the_layout_refuses_the_file():
    text = "ts_code,trade_date,close,vol\n600000.SH,20240102,1,4.5\n"
    assert load(text).decided == {"unit": "layout"}
    assert bars(load(text, hints=Hints(unit=100)))[0]["volume"] == 450.0
    assert "counts its volume in 100 shares" in refusal(text, hints=Hints(unit=10))


hints = st.builds(
    Hints,
    timezone=st.none() | st.sampled_from(ZONES),
    dates=st.none() | st.sampled_from(DATE_ORDERS),
    decimal=st.none() | st.sampled_from(DECIMAL_MARKS),
    unit=st.none() | st.integers(1, MAX_UNIT),
)


@given(hints, hints)
def test_joining_loses_nothing_and_takes_no_side(one, other):
    try:
        joined = one.joined(other)
    except FileRefused:
        assert any(
            None is not a != b is not None for a, b in zip(vars(one).values(), vars(other).values(), strict=True)
        )
        return
    assert joined == other.joined(one)
    for name, value in vars(joined).items():
        assert {getattr(one, name), getattr(other, name)} <= {value, None}
