"""A headless Chromium on the UI of its own `dev`, and the pictures that it takes.

With PICTURES=1 in the environment (`make pictures`) each view that a test shows is written to docs/pictures; without it
the same views are taken, measured and thrown away, so the stored pictures stay true.
"""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.local import LocalFolders
from stock_pipeline.local.dev.dagster import Dagster
from stock_pipeline.local.dev.session import Session, session
from stock_pipeline_tests.docs.reference import DOCS
from stock_pipeline_tests.support.local_aws import eventually, installed

__all__ = ["installed"]

PICTURES = DOCS / "pictures"
MOST_BYTES = 200_000
PATIENCE = 90.0  # seconds, on a machine that does much else
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --force-color-profile=srgb --font-render-hinting=none"
).split()

BACKFILLS = """{ partitionBackfillsOrError(limit: 1) { ... on PartitionBackfills { results { id status } } } }"""

Theme = Literal["light", "dark"]


@dataclass
class Dev:
    """A running `dev`: what it stores, and its UI."""

    running: Session
    url: str

    @property
    def dagster(self) -> Dagster:
        return self.running.dagster

    @property
    def staging(self) -> S3Store:
        assert self.running.aws is not None
        bucket = self.running.settings.require("staging_bucket")
        return S3Store(bucket, self.running.aws.client("s3"))

    def materialized(self, asset: str, *partitions: str) -> bool:
        """Whether these partitions get materialized within some time."""
        return eventually(lambda: all(self.dagster.partitions(asset).get(p) for p in partitions), within=PATIENCE)

    def backfill(self) -> str:
        """The id of the latest backfill, once it has ended well."""

        def latest() -> dict[str, str]:
            found: dict[str, str] = self.dagster._ask(BACKFILLS)["partitionBackfillsOrError"]["results"][0]
            return found

        assert eventually(lambda: latest()["status"] == "COMPLETED_SUCCESS", within=PATIENCE), latest()
        return latest()["id"]


@pytest.fixture(scope="module")
def dev(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    home, theirs = LocalFolders(tmp_path_factory.mktemp("browser")), LocalFolders(installed)
    home.home.mkdir(parents=True)
    home.venv.symlink_to(theirs.venv)
    home.dependencies.symlink_to(theirs.dependencies)
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(("AWS_", "STOCK_PIPELINE_", "DAGSTER_")):
                patch.delenv(name)
        patch.setenv("STOCK_PIPELINE_HOME", str(home.root))
        with session(port=None, processor="dagster", report=lambda text: None) as running:
            yield Dev(running, running.url)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        reason = "there is no chromium: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


Opener = Callable[..., Page]


@pytest.fixture
def at(dev: Dev, browser: Browser) -> Iterator[Opener]:
    """Opens a page of the UI: `at("/assets/price_by_date", theme="dark", width=…, height=…)`."""
    contexts = []

    def open_at(path: str, *, theme: Theme = "light", width: int = 1440, height: int = 900) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce", timezone_id="UTC"
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE * 1000)
        context.add_init_script(f"localStorage.setItem('theme', JSON.stringify('{theme.capitalize()}'))")
        page = context.new_page()
        page.goto(dev.url + path)
        return page

    expect.set_options(timeout=PATIENCE * 1000)
    yield open_at
    for context in contexts:
        context.close()


def picture(page: Page, name: str, folder: Path) -> None:
    """Take a picture of a page; it must be one of those that are kept, and small enough."""
    expect(page.get_by_text("Loading…")).to_have_count(0)
    page.mouse.move(1, 1)
    page.wait_for_timeout(1_000)  # for what fades in
    keep = bool(os.environ.get("PICTURES"))
    file = (PICTURES if keep else folder) / f"{name}.png"
    file.parent.mkdir(exist_ok=True)
    with Image.open(io.BytesIO(page.screenshot(animations="disabled"))) as taken:
        taken.convert("RGB").quantize(method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            file, optimize=True
        )
    assert file.stat().st_size < MOST_BYTES
    assert (PICTURES / f"{name}.png").is_file(), f"docs/pictures/{name}.png is missing; `make pictures` takes it"


def is_drawn(image: Locator) -> bool:
    """Whether an image is shown and its drawing could be read."""
    expect(image).to_be_visible()
    return bool(image.evaluate("image => image.complete && image.naturalWidth > 100"))


def count_shown(page: Page, label: str) -> int:
    """The number that a page shows beside a label."""
    text = page.locator("tr", has=page.get_by_text(label, exact=True)).first.inner_text()
    found = re.search(r"([\d,]+)\s*$", text.strip())
    assert found, text
    return int(found[1].replace(",", ""))
