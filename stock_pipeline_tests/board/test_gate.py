"""Who is answered: the board's own page with the key of this start, and nobody else; and what it may load."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from stock_pipeline_tests.support.board import KEY, Running, in_moto, serving

DATA = "/data/overview"


@pytest.fixture(scope="module")
def board() -> Iterator[Running]:
    with in_moto(), serving() as running:
        yield running


@pytest.mark.parametrize("path", ["/", "/board.css", "/board.js", "/theme.js", "/plotly.min.js"])
def test_the_page_and_its_files_need_no_key(board: Running, path: str) -> None:
    status, body, headers = board.get(path)
    assert (status, bool(body)) == (200, True)
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe-eval" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert KEY.encode() not in body


@pytest.mark.parametrize("path", ["/", "/board.css", "/board.js", "/theme.js"])
def test_they_name_no_other_host(board: Running, path: str) -> None:
    assert re.findall(rb"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", board.get(path)[1]) == []


@pytest.mark.parametrize("headers", [{}, {"X_Board_Key": ""}, {"X_Board_Key": KEY[:-1]}, {"X_Board_Key": KEY + "x"}])
def test_data_need_the_key(board: Running, headers: dict[str, str]) -> None:
    status, body, _ = board.get(DATA, **headers)
    assert status == 403
    assert b"open the address that `stock-pipeline board` printed" in body


def test_the_key_in_the_address_is_not_taken(board: Running) -> None:
    """It would be in histories and logs."""
    assert board.get(f"{DATA}?key={KEY}")[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Host": "attacker.example"},
        {"Host": "127.0.0.1.attacker.example"},
        {"Host": ""},
    ],
)
@pytest.mark.parametrize("path", ["/", DATA, "/plotly.min.js"])
def test_other_pages_are_refused_even_with_the_key(board: Running, path: str, headers: dict[str, str]) -> None:
    assert board.get(path, X_Board_Key=KEY, **headers)[0] == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", DATA])
def test_it_only_reads(board: Running, method: str, path: str) -> None:
    assert board.get(path, method, X_Board_Key=KEY)[0] == 405


@pytest.mark.parametrize("path", ["/nothing", "/..%2fapp.py", "/page/index.html", "/data", "/data/", "/data/a/b"])
def test_nothing_else_is_served(board: Running, path: str) -> None:
    assert board.get(path, X_Board_Key=KEY)[0] == 404


def test_data_are_not_kept_by_the_browser(board: Running) -> None:
    assert board.get(DATA, X_Board_Key=KEY)[2]["cache-control"] == "no-store"
