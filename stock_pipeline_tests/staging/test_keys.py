"""What the keys of raw objects say."""

from __future__ import annotations

import pytest

from stock_pipeline.staging.keys import raw_keys_of_year, session_of, session_prefix
from stock_pipeline_tests.support.desk import Desk


def test_the_raw_objects_of_a_year_are_its_sessions_and_every_upload_as_they_arrived(desk: Desk) -> None:
    upload = desk.drop("x.csv", "A,2024-01-02,,,,1,")
    session = desk.drop("daily_prices/date=2024-01-02/prices.csv", "A,2024-01-02,,,,1,")
    desk.drop("daily_prices/date=2023-12-29/prices.csv", "A,2023-12-29,,,,1,")
    desk.staging.put("daily_prices/uploads/", b"")
    assert raw_keys_of_year(desk.staging, 2024) == [upload, session]


@pytest.mark.parametrize("said", ["2024-06-03", "2024", ""])
def test_the_prefix_of_a_session_begins_the_keys_of_its_objects_only(said: str) -> None:
    keys = [f"{session_prefix(session)}/prices-us.csv" for session in ("2024-06-03", "2023-06-03")]
    assert [session_of(key) for key in keys] == ["2024-06-03", "2023-06-03"]
    assert keys[0].startswith(session_prefix(said))
    assert keys[1].startswith(session_prefix(said)) == (said == "")
