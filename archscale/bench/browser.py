"""Headless Chromium through Playwright: what ARCHSCALE_CHROMIUM names, or one on PATH; nothing is downloaded."""

import os
import shutil
import time
from importlib.util import find_spec
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium_path() -> str | None:
    named = os.environ.get("ARCHSCALE_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


def open_seconds(page: Path) -> float | None:
    """From the start of loading a report until its last figure is drawn; None without Playwright or Chromium."""
    path = chromium_path()
    if path is None or find_spec("playwright") is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path)
        tab = browser.new_page(viewport={"width": 1440, "height": 900})
        started = time.perf_counter()
        tab.goto(page.resolve().as_uri())
        tab.wait_for_selector("html[data-drawn=all]", state="attached", timeout=120_000)
        seconds = time.perf_counter() - started
        browser.close()
    return seconds
