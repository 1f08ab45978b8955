"""What the docs tell a reader to run does what they say (make docs)."""

from __future__ import annotations

from pathlib import Path

import pytest

from stock_pipeline_tests.docs.pages import NOT_RUN, PAGES, ROOT, Misplaced, Step, _steps, looks_like, steps
from stock_pipeline_tests.docs.runner import Failed, Reader
from stock_pipeline_tests.support.local_aws import installed

__all__ = ["installed"]

EVERY = [step for page in PAGES for step in steps(page)]
LEFT_OUT = [step for step in EVERY if step.kind == "not run"]
WITH_COMMANDS = [page for page in PAGES if any(step.kind != "not run" for step in steps(page))]


@pytest.mark.docs
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_do_what_it_says(page: Path, installed: Path, tmp_path: Path) -> None:
    taken = steps(page)
    assert any(step.kind in {"run", "python"} for step in taken)
    Reader(tmp_path).follow(taken)


@pytest.mark.parametrize("step", LEFT_OUT, ids=str)
def test_a_block_that_is_not_run_says_why(step: Step) -> None:
    assert step.reason in NOT_RUN, f"{step}: {step.reason!r} is none of {', '.join(NOT_RUN)}"


def test_most_blocks_are_run() -> None:
    run = [step for step in EVERY if step.kind in {"run", "python", "background"}]
    here = [step for step in LEFT_OUT if step.reason not in {"aws", "deploy"}]  # the others need an account of AWS
    assert len(run) > 3 * len(here)


def read(text: str) -> list[Step]:
    return list(_steps(text, "page.md"))


BLOCK = "```sh\ntrue\n```\n"


class TestPages:
    def test_blocks_of_a_shell_and_of_python_are_run_and_others_are_not(self) -> None:
        found = read(f"{BLOCK}\n```\nls\n```\n```python\n1\n```\n```json\n{{}}\n```\n```mermaid\nx\n```\n")
        assert [(step.kind, step.text) for step in found] == [("run", "true\n"), ("run", "ls\n"), ("python", "1\n")]

    @pytest.mark.parametrize(
        ("comment", "expected"),
        [
            ("run: for 5 s", Step("page.md", 2, "run", "true\n", seconds=5)),
            ("run: exits with 1", Step("page.md", 2, "run", "true\n", status=1)),
            ('run: answers "y"', Step("page.md", 2, "run", "true\n", answer="y")),
            ('run: in the background until "Ctrl-C to stop"',
             Step("page.md", 2, "background", "true\n", until="Ctrl-C to stop")),
            ("not run: aws", Step("page.md", 2, "not run", "true\n", reason="aws")),
        ],
    )  # fmt: skip
    def test_a_comment_says_how_the_next_block_is_run(self, comment: str, expected: Step) -> None:
        assert read(f"<!-- {comment} -->\n{BLOCK}") == [expected]

    @pytest.mark.parametrize(
        "text",
        [
            f"<!-- run: now and then -->\n{BLOCK}",
            f"<!-- output -->\n{BLOCK}",
            f"<!-- with: magic -->\n{BLOCK}",
            "<!-- not run: aws -->\n```json\n{}\n```\n",
            f"<!-- not run: aws -->\n<!-- run: for 1 s -->\n{BLOCK}",
            f"{BLOCK}<!-- not run: aws -->\n",
        ],
    )
    def test_a_comment_that_cannot_be_meant_is_refused(self, text: str) -> None:
        with pytest.raises(Misplaced):
            read(text)

    @pytest.mark.parametrize(
        ("expected", "output", "same"),
        [
            ("a b\n", "a b  \n", True),
            ("a … c\n", "a long b c\n", True),
            ("a\n…\nz\n", "a\nb\nc\nz\n", True),
            ("a\n", "a\nb\n", False),
            ("a … c\n", "a\nc\n", False),
            ("1 row\n", "2 rows\n", False),
        ],
    )
    def test_an_output_is_compared_with_the_one_shown(self, expected: str, output: str, same: bool) -> None:
        assert looks_like(expected, output) == same


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reader")


@pytest.fixture(scope="module")
def reader(folder: Path) -> Reader:
    return Reader(folder)


class TestReader:
    def test_variables_and_the_folder_hold_for_the_next_block(self, reader: Reader) -> None:
        reader.follow(read("```\ncd docs; A='x y'\n```\n```\necho $A; basename $PWD\n```\n"
                           "<!-- output -->\n```text\nx y\ndocs\n```\n```\ncd ..\n```\n"))  # fmt: skip

    def test_a_block_that_asks_is_answered_once_and_only_where_the_page_says_so(self, reader: Reader) -> None:
        asks = "```\nread -r said && echo $said; read -r said || echo no more\n```\n<!-- output -->\n```text\n"
        reader.follow(read(f'<!-- run: answers "y" -->\n{asks}y\nno more\n```\n{asks}no more\n```\n'))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("```\nfalse\ntrue\n```\n", "ended with status 1, not 0"),
            ("<!-- run: exits with 3 -->\n```\ntrue\n```\n", "ended with status 0, not 3"),
            ("```\necho 2\n```\n<!-- output -->\n```text\n1\n```\n", "what came was"),
            ("```python\nassert 1 == 2\n```\n", "AssertionError"),
            ("```\npython -c 'raise ValueError' || true\n```\n", "(?s)ended with status 0, not 0.*Traceback"),
            ('<!-- run: in the background until "ready" -->\n```\ntrue\n```\n', "has not said 'ready'"),
            (
                "<!-- run: for 1 s -->\n```\nbash -c 'trap \"exit 3\" INT; echo started; sleep 60'\n```\n",
                "ended with status 3",
            ),
        ],
    )
    def test_a_step_that_does_not_do_what_its_page_says_fails(self, reader: Reader, text: str, message: str) -> None:
        with pytest.raises(Failed, match=message):
            reader.follow(read(text))

    def test_a_rejected_row_that_reads_like_a_traceback_is_a_row(self, reader: Reader) -> None:
        reader.follow(read("```\necho 'Traceback (most recent call last):'; echo next row\n```\n"))

    def test_the_copy_runs_its_own_sources_and_shares_no_data(self, reader: Reader, folder: Path) -> None:
        reader.follow(read("```python\nimport stock_pipeline\nprint(stock_pipeline.__file__)\n```\n"))
        assert reader._output.strip() == str(folder / "stock-pipeline" / "stock_pipeline" / "__init__.py")
        assert {path.name for path in (reader.checkout / ".local").iterdir()} <= {"functions", "sam", "venv"}
