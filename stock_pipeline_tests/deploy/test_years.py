"""The years of ticks that Athena looks for: chosen for a new stack, kept by an old one, and told when they end."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.deploy.years import around, chosen

TODAY = date(2031, 5, 4)
FOLDERS, MOST = 12 * 31, 2_000  # of a year, and that a query may list


@given(st.dates(date(2024, 1, 1), date(9997, 1, 1)))
def test_a_new_stack_looks_for_this_year_with_those_around_it(today: date) -> None:
    said: list[str] = []
    (years,) = chosen({"Stage": "main"}, exists=False, today=today, report=said.append).values()
    first, last = map(int, years.split(","))
    assert first < today.year < last
    assert (last - first + 1) * FOLDERS < MOST
    assert said == []


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("years", ["2028,2032", "2029,2033", "1990,2040"])
def test_years_that_were_given_are_kept(years: str, exists: bool) -> None:
    said: list[str] = []
    assert chosen({"TickYears": years}, exists, TODAY, said.append) == {}
    assert said == []


@pytest.mark.parametrize("years", ["2024,2028", "2027,2031"])
def test_a_deployment_says_a_year_ahead_that_the_years_end(years: str) -> None:
    said: list[str] = []
    assert chosen({"TickYears": years}, exists=True, today=TODAY, report=said.append) == {}
    (sentence,) = said
    assert years.replace(",", " to ") in sentence
    assert f"PARAMS=TickYears={around(TODAY)}" in sentence


def test_a_stack_from_before_the_parameter_is_left_alone() -> None:
    assert chosen({}, exists=True, today=TODAY, report=print) == {}
