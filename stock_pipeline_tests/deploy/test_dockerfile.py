"""Rules for the image of Dagster, each with a planted fault: a machine that runs the tests may have no docker."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator

import pytest

from stock_pipeline.deploy.sources import CHECKOUT

TEXT = (CHECKOUT / "deploy" / "Dockerfile").read_text()
PACKAGE = CHECKOUT / "stock_pipeline"
REQUIREMENTS = (CHECKOUT / "requirements" / "serve.txt").read_text()
Instruction = tuple[str, str]


def instructions(text: str) -> list[Instruction]:
    """The instructions with their arguments; continued lines are one."""
    lines = re.sub(r"\\\n\s*", " ", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    return [
        (name.upper(), rest.strip()) for name, _, rest in (line.partition(" ") for line in lines.splitlines() if line)
    ]


def last_stage(found: list[Instruction]) -> list[Instruction]:
    at = max(n for n, (name, _) in enumerate(found) if name == "FROM")
    return found[at:]


def runs_as_nobody_special(found: list[Instruction]) -> bool:
    """The last user is a number that is not root's (ECS compares numbers), and nothing is run after it as root."""
    users = [rest for name, rest in last_stage(found) if name == "USER"]
    return bool(users) and users[-1].isdecimal() and int(users[-1]) > 0


def installs_by_hash(found: list[Instruction]) -> bool:
    installs = [rest for name, rest in found if name == "RUN" and re.search(r"\bpip3?\b.* install|\buv\b", rest)]
    wanted = {"--require-hashes", "--only-binary", "--no-deps"}
    return bool(installs) and all(wanted <= set(shlex.split(rest)) for rest in installs)


def has_a_base_with_a_version(found: list[Instruction]) -> bool:
    given = dict(rest.partition("=")[::2] for name, rest in found if name == "ARG")
    bases = [re.sub(r"\$\{(\w+)\}", lambda m: given[m[1]], rest.split()[0]) for name, rest in found if name == "FROM"]
    return all(re.search(r":\d+\.\d+-slim|@sha256:", base) for base in bases)


def fits_both_architectures(found: list[Instruction]) -> bool:
    return not re.search(r"--platform|amd64|x86_64|arm64|aarch64", " ".join(rest for _, rest in found))


def copies_only_what_it_needs(found: list[Instruction]) -> bool:
    sources = [shlex.split(rest)[0] for name, rest in found if name == "COPY" and not rest.startswith("--from=")]
    return set(sources) == {"requirements/serve.txt", "stock_pipeline"} and not any(n == "ADD" for n, _ in found)


def holds_no_secret(found: list[Instruction]) -> bool:
    words = r"(?i)secret|password|token|access_key|webhook"
    return not any(re.search(words, rest) for name, rest in found if name in {"ENV", "ARG", "RUN", "LABEL"})


def opens_no_port(found: list[Instruction]) -> bool:
    return not any(name == "EXPOSE" for name, _ in found)


def leaves_the_command_to_the_task(found: list[Instruction]) -> bool:
    """No ENTRYPOINT: Dagster's launcher overrides the command only. A command is a list, so that signals reach it."""
    commands = [rest for name, rest in last_stage(found) if name == "CMD"]
    return not any(name == "ENTRYPOINT" for name, _ in found) and len(commands) == 1 and commands[0].startswith("[")


RULES: dict[Callable[[list[Instruction]], bool], tuple[str, str]] = {
    runs_as_nobody_special: ("USER 10001", "USER root"),
    installs_by_hash: ("--require-hashes ", ""),
    has_a_base_with_a_version: ("python:3.11-slim-bookworm", "python:latest"),
    fits_both_architectures: ("FROM ${PYTHON} AS", "FROM --platform=linux/amd64 ${PYTHON} AS"),
    copies_only_what_it_needs: ("COPY stock_pipeline ", "COPY . "),
    holds_no_secret: ("DAGSTER_HOME=", "DAGSTER_POSTGRES_PASSWORD=x DAGSTER_HOME="),
    opens_no_port: ("USER 10001", "EXPOSE 3000\nUSER 10001"),
    leaves_the_command_to_the_task: ("CMD [", "ENTRYPOINT ["),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_image_keeps_the_rule(rule: Callable[[list[Instruction]], bool]) -> None:
    assert rule(instructions(TEXT))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_planted_fault_breaks_the_rule(rule: Callable[[list[Instruction]], bool]) -> None:
    there, fault = RULES[rule]
    assert TEXT.count(there) == 1 or rule in {runs_as_nobody_special, opens_no_port}
    assert not rule(instructions(TEXT.replace(there, fault)))


def pinned(text: str) -> Iterator[tuple[str, int]]:
    """Each requirement with the number of its hashes."""
    for block in re.split(r"\n(?=\S)", re.sub(r"(?m)^\s*#.*\n?", "", text)):
        yield block.split()[0], block.count("--hash=sha256:")


def test_every_requirement_has_one_version_and_hashes_and_names_no_place() -> None:
    found = dict(pinned(REQUIREMENTS))
    assert len(found) > 50
    assert [name for name, hashes in found.items() if "==" not in name or not hashes] == []
    assert "--index" not in REQUIREMENTS
    assert "://" not in REQUIREMENTS
    assert {name for name, hashes in pinned("a==1 \\\n    --hash=sha256:0\nb>=2\n") if not hashes} == {"b>=2"}


def test_the_versions_are_those_that_the_tests_run_with() -> None:
    tested = {name for name, _ in pinned((CHECKOUT / "requirements" / "dev.txt").read_text())}
    assert {name for name, _ in pinned(REQUIREMENTS)} <= tested


def test_no_process_asks_for_the_metadata_of_the_package() -> None:
    """It is copied into the image and onto the small machine, and not installed there."""
    modules = [path for room in ("orchestration", "local") for path in (PACKAGE / room).rglob("*.py")]
    assert len(modules) > 50
    assert [path.name for path in modules if "importlib.metadata" in path.read_text()] == []
