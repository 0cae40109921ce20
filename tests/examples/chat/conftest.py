"""The chat's own modules, so that their pure parts can be tested, and browsers for the tests of its page."""

import sys
from collections.abc import Iterator

import pytest

from browsing import Page, browser
from chat_harness import EXAMPLE, Server, chat_server

sys.path.append(str(EXAMPLE))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for all tests of a module, who meet in rooms of their own; its log must have no failures at the end."""
    with chat_server(tmp_path_factory.mktemp("chat"), "--workers=2", "--idle=3600") as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in server.log, server.log


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser for all of them; each opens the page as if for the first time."""
    with browser(tmp_path_factory.mktemp("first")) as page:
        yield page


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Another browser."""
    with browser(tmp_path_factory.mktemp("second")) as page:
        yield page


@pytest.fixture
def ada(first: Page) -> Iterator[Page]:
    """A window of the first browser, whose console must be free of complaints at the end."""
    yield from window(first)


@pytest.fixture
def grace(second: Page) -> Iterator[Page]:
    """A window of the second browser."""
    yield from window(second)


def window(page: Page) -> Iterator[Page]:
    """A browser's window, as large as most; its user leaves at the end."""
    page.look()
    yield page
    page.driver.get("about:blank")
    assert page.complaints() == []
