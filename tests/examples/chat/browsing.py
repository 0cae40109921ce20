"""Opens the chat's page in Debian's Chromium without a window, for the tests and for the pictures in the docs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

WAIT = 30  # seconds
FLAGS = (
    "headless=new",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "disable-dev-shm-usage",
    "lang=en-GB",
)


def missing() -> str:
    """What there is not to open a browser with; empty if all is there."""
    return ", ".join(name for name in ("chromium", "chromedriver") if shutil.which(name) is None)


@contextmanager
def browser(profile: Path, *, width: int = 1100, height: int = 760, dark: bool = False) -> Iterator[Page]:
    """A browser with a profile of its own; it ends with the block, with all its processes."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*FLAGS, f"user-data-dir={profile}", f"window-size={width},{height}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        page = Page(driver)
        page.look(width=width, height=height, dark=dark)
        yield page
    finally:
        driver.quit()


class Page:
    """The page as its user sees it."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    @contextmanager
    def prepared(self, script: str) -> Iterator[None]:
        """Run a script before each page that is opened meanwhile, as if the browser were another one."""
        added = self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)

    def look(self, *, width: int = 1100, height: int = 760, dark: bool = False) -> None:
        """Look at it on a screen of this size, light or dark; a narrow one is a telephone's."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def open(self, url: str) -> None:
        """Open the page as if for the first time in this browser."""
        self.driver.get("about:blank")
        origin = {"origin": "/".join(url.split("/")[:3]), "storageTypes": "local_storage"}
        self.driver.execute_cdp_cmd("Storage.clearDataForOrigin", origin)
        self.driver.get(url)
        self.until(lambda: self.one("#name").is_displayed())

    def enter(self, url: str, name: str) -> None:
        """Open the page for the first time, and give a name."""
        self.open(url)
        self.type(name, Keys.ENTER)
        self.until(self.is_live)

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """The words of all elements that match, in one call, so that none can change meanwhile."""
        script = "return [...document.querySelectorAll(arguments[0])].map((element) => element.textContent)"
        return list(self.driver.execute_script(script, selector))

    def run(self, script: str) -> Any:
        """Ask the page something that a user sees but selenium does not."""
        return self.driver.execute_script(f"return {script}")

    def shows(self, selector: str, within: str) -> bool:
        """Whether an element is scrolled into sight, wholly."""
        box = f"document.querySelector('{within}').getBoundingClientRect()"
        inner = f"document.querySelector('{selector}').getBoundingClientRect()"
        return bool(self.run(f"{inner}.top >= {box}.top - 1 && {inner}.bottom <= {box}.bottom + 1"))

    def type(self, *keys: str) -> None:
        """Press keys, wherever the focus is: that is where a user's would go."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def say(self, text: str) -> None:
        self.type(text, Keys.ENTER)

    def paste(self, text: str) -> None:
        """Put a text where one types, as with the mouse: no key is pressed."""
        script = """const field = document.getElementById("say"); field.value = arguments[0];
            field.dispatchEvent(new Event("input", { bubbles: true }))"""
        self.driver.execute_script(script, text)

    def say_much(self, text: str) -> None:
        """Say what would take long to type."""
        self.paste(text)
        self.type(Keys.ENTER)

    @property
    def draft(self) -> str:
        """What is typed and not sent."""
        return str(self.run("document.getElementById('say').value"))

    @property
    def said(self) -> list[str]:
        return self.texts("#log .body")

    def is_live(self) -> bool:
        return bool(self.run("document.getElementById('status').classList.contains('live')"))

    @property
    def worker(self) -> int:
        return int(self.one("#status").text.removeprefix("worker "))

    def until(self, what: object) -> None:
        """Wait until `what()` is true."""
        assert callable(what)
        WebDriverWait(self.driver, WAIT, poll_frequency=0.05).until(
            lambda _: what(), f"the page: {self.one('body').text[-2000:]}"
        )

    def complaints(self) -> list[str]:
        """What the browser's console says, but for the connections that were refused while a worker was gone."""
        lines = [entry["message"] for entry in self.driver.get_log("browser")]
        return [line for line in lines if "WebSocket connection to" not in line]
