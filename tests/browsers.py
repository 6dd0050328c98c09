"""A real Chromium."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

from .servers import missing

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = "no-sandbox disable-gpu disable-quic disable-background-networking disable-component-update disable-sync"


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The one of the system, with the cache of its back button, as people have it."""
    if CHROMIUM is None:
        missing("chromium fonts-dejavu-core")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[f"--{argument}" for argument in QUIET.split()],
            ignore_default_args=["--disable-back-forward-cache"],
        )
        yield browser
        await browser.close()
