"""A report opened in headless Chromium: what the page asks for, says and draws is recorded from its first byte.

Chromium is the one that ARCHSCALE_CHROMIUM names, or one on PATH; without it these tests skip.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from analysis.report.write import write_report
from analysis.table import RunTable
from archscale.bench.browser import NAMES, chromium_path
from archscale.runlog.files import write_json
from archscale.spec import FitSettings
from tests.analysis import fake_runs

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")

# Each of these would run where a text is read as markup, in an element, an attribute, a script or a plotly text.
ATTACK = (
    '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1;alert(1)">'
    "' onmouseover='window.hacked=1' <a href='javascript:window.hacked=1'>"
)


@dataclass
class Opened:
    """A tab with the report, and what happened in it: addresses asked for, lines on the console, errors, dialogs."""

    tab: "playwright.Page"
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def browser() -> Iterator["playwright.Browser"]:
    path = chromium_path()
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on PATH and ARCHSCALE_CHROMIUM is not set")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory) -> Path:
    """Two groups at four scales, a run that diverged, one that failed, one logged online; hostile text wherever a user
    can write it."""
    root = tmp_path_factory.mktemp("runs")
    specs = [
        fake_runs.spec_of(name, depth, title=f"{title} {ATTACK}" if name == "sambay" else None)
        for name, title in fake_runs.TITLES.items()
        for depth in fake_runs.DEPTHS
    ]
    directories = [fake_runs.write_run(root, spec) for spec in specs]
    directories.append(fake_runs.write_diverged(root, fake_runs.spec_of("transformer_pp", 24)))
    hostile = fake_runs.write_failed(root, replace(specs[-1], seed=3))
    folder = hostile.attempt_path(1)
    (folder / "log.txt").write_text(f"\x1b[31m{ATTACK}\x1b[0m\n{ATTACK}\n")
    write_json(folder / "provenance.json", {"git_commit": ATTACK, "command": ATTACK, "host": ATTACK})
    write_json(folder / "wandb.json", {"page": "javascript:window.hacked=1"})
    write_json(directories[0].attempt_path(1) / "wandb.json", {"page": f"https://wandb.ai/a/b/runs/c?{ATTACK}"})
    directories.append(hostile)
    renamed = root / "row<img src=x onerror=window.hacked=1>"
    shutil.move(directories[1].path, renamed)
    directories[1] = type(directories[1])(renamed)
    return write_report(
        name=f"study {ATTACK}",
        title=f"Which one is better? {ATTACK}",
        question=f"Is A < B & C? {ATTACK}",
        table=RunTable.from_directories(directories),
        missing=[f"never {ATTACK}"],
        settings=FitSettings(),
        out=tmp_path_factory.mktemp("report"),
    )


@pytest.fixture(scope="session")
def open_report(browser, report):
    """open_report(width=…, scheme=…) gives a fresh page once every figure is drawn."""

    def open_(*, width: int = 1440, height: int = 900, scheme: str = "light", anchor: str = "") -> Opened:
        size = {"width": width, "height": height}
        tab = browser.new_page(viewport=size, color_scheme=scheme, reduced_motion="reduce")
        found = Opened(tab=tab)
        tab.on("request", lambda request: found.asked.append(request.url))
        tab.on("console", lambda message: found.said.append(f"{message.type}: {message.text}"))
        tab.on("pageerror", lambda error: found.said.append(f"error: {error}"))
        tab.on("dialog", lambda dialog: (found.dialogs.append(dialog.message), dialog.dismiss()))
        tab.goto(report.as_uri() + anchor)
        tab.wait_for_selector("html[data-drawn=all]", state="attached")
        return found

    return open_


@pytest.fixture(scope="session")
def shared(open_report) -> Opened:
    return open_report()


@pytest.fixture
def desk(shared) -> Opened:
    """A page at a desk that tests share: nothing is open, all groups are shown, and the top is in view."""
    tab = shared.tab
    tab.evaluate(
        """() => { for (const one of document.querySelectorAll('details[open]')) one.open = false;
            document.activeElement.blur(); scrollTo(0, 0); }"""
    )
    while (hidden := tab.locator("[data-legend] button[aria-pressed=false]")).count():
        hidden.first.click()
    return shared
