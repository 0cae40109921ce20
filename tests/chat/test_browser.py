"""The page in a real browser: two windows talk, a worker is killed, the page comes back by itself."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from browsing import Page, browser, missing
from chat_harness import Server, chat_server

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server whose log must be free of failures at the end."""
    with chat_server(tmp_path, "--workers=2", "--idle=3600") as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in server.log, server.log


def test_two_windows_talk_and_a_worker_dies(server: Server, tmp_path: Path) -> None:
    """Both read both; the killed worker's page says so, comes back, shows what it missed and sends what was waiting."""
    with browser(tmp_path / "1") as ada, browser(tmp_path / "2") as grace:
        ada.enter(server.url, "ada")
        grace.enter(server.url, "ada")
        assert grace.texts("#people bdi") == ["ada", "ada-2 (you)"]
        grace.say("/name grace")
        grace.type(Keys.ENTER)
        ada.until(lambda: ada.texts("#people bdi") == ["ada (you)", "grace"])

        ada.say("<b>bold</b> <script>document.title = 'owned'</script>")
        grace.until(lambda: grace.said == ["<b>bold</b> <script>document.title = 'owned'</script>"])
        assert grace.driver.title.endswith("#lobby · trisig chat")
        for empty in ("", "   "):
            grace.say(empty)
        grace.type("two", Keys.SHIFT + Keys.ENTER, Keys.NULL + "lines", Keys.ENTER)
        ada.until(lambda: ada.said[1:] == ["two\nlines"])

        # Nobody can connect while both workers are stopped: what is typed now waits.
        watch_status(ada)
        hit, other = server.worker_pid(ada.worker), server.worker_pid(3 - ada.worker)
        for pid in (hit, other):
            os.kill(pid, signal.SIGSTOP)
        ada.say("typed in the dark")
        ada.until(lambda: ada.texts("#unsent li") == ["typed in the dark"])
        os.kill(hit, signal.SIGKILL)
        os.kill(other, signal.SIGCONT)
        grace.until(lambda: grace.said[2:] == ["typed in the dark"])
        ada.until(lambda: ada.is_live() and not ada.texts("#unsent li"))
        grace.say("welcome back")
        ada.until(lambda: ada.said[2:] == ["typed in the dark", "welcome back"])
        assert "reconnecting" in seen_status(ada)
        assert not ada.one("#trouble").is_displayed()
        assert ada.complaints() == grace.complaints() == []


def watch_status(page: Page) -> None:
    """Remember every state of the connection that the page shows."""
    page.driver.execute_script(
        "window.seen = []; new MutationObserver(() => seen.push(document.getElementById('status').textContent))"
        ".observe(document.getElementById('status'), { childList: true })"
    )


def seen_status(page: Page) -> object:
    """What `watch_status` saw."""
    return page.run("window.seen")


def test_rooms_by_keyboard(server: Server, tmp_path: Path) -> None:
    """/join opens a room, Alt and the arrows change rooms, and each has its own messages; so has the address."""
    with browser(tmp_path / "1") as page:
        page.enter(server.url, "ada")
        page.say("in the lobby")
        page.until(lambda: page.said == ["in the lobby"])
        page.say("/join Attic")
        page.until(lambda: page.one("#room").text == "#attic" and page.said == [])
        page.say("in the attic")
        page.until(lambda: page.said == ["in the attic"])
        page.type(Keys.ALT + Keys.ARROW_DOWN + Keys.NULL)
        page.until(lambda: page.said == ["in the lobby"])
        assert page.texts("#rooms button span:first-child") == ["#attic", "#lobby"]
        page.driver.back()
        page.until(lambda: page.said == ["in the attic"])
        page.driver.refresh()
        page.until(lambda: page.said == ["in the attic"])
        assert page.complaints() == []


def test_ten_thousand_messages(tmp_path: Path) -> None:
    """The document stays small however much is read; the first message can be reached, and the last one again."""
    with chat_server(tmp_path, "--workers=1") as server:
        assert server.stop() == 0
    with closing(sqlite3.connect(tmp_path / "chat.sqlite")) as db, db:
        row = "INSERT INTO events (kind, room, name, worker, body, at) VALUES ('text', 'lobby', 'eve', 1, ?, ?)"
        db.executemany(row, [(f"number {number}", 1_700_000_000 + number) for number in range(10_000)])
    with chat_server(tmp_path, "--workers=2") as server, browser(tmp_path / "1") as page:
        page.enter(server.url, "ada")
        page.until(lambda: page.said[-1:] == ["number 9999"])
        for _ in range(12):
            before = page.said[0]
            page.run("document.getElementById('log').scrollTo(0, 0)")
            page.until(lambda before=before: page.said[0] != before)
            assert len(page.said) <= 300
        assert page.one("#newer").is_displayed()
        first = int(page.said[0].removeprefix("number "))
        assert page.said == [f"number {number}" for number in range(first, first + len(page.said))]
        page.say("x" * 1500)
        page.until(lambda: page.said[-1] == "x" * 1500)
        assert page.run("document.documentElement.scrollWidth <= innerWidth")
        log = "document.getElementById('log')"
        assert page.run(
            f"{log}.scrollWidth <= {log}.clientWidth && {log}.scrollHeight - {log}.scrollTop - {log}.clientHeight < 4"
        )
        # What was missed comes whole, and the document still stays small.
        with closing(sqlite3.connect(tmp_path / "chat.sqlite", timeout=30)) as db, db:
            row = "INSERT INTO events (kind, room, name, worker, body, at) VALUES ('text', 'lobby', 'eve', 1, ?, ?)"
            db.executemany(row, [(f"again {number}", 1_800_000_000) for number in range(10_000)])
        page.say("end")
        page.until(lambda: page.said[-2:] == ["again 9999", "end"] or page.said[-1:] == ["end"])
        assert len(page.said) <= 300
        assert page.complaints() == []


def test_a_phone(server: Server, tmp_path: Path) -> None:
    """On a narrow screen the rooms and people are behind a button, and nothing sticks out."""
    with browser(tmp_path / "1", width=390, height=780, dark=True) as page:
        page.enter(server.url, "ada")
        page.say("W" * 600)
        page.until(lambda: page.said == ["W" * 600])
        assert not page.one("#people").is_displayed()
        page.one("#menu").click()
        page.until(lambda: page.one("#people").is_displayed())
        page.one("#rooms button").click()
        page.until(lambda: not page.one("#people").is_displayed())
        assert page.run("document.documentElement.scrollWidth <= innerWidth")
        dark, _, _ = page.run("getComputedStyle(document.body).backgroundColor").removeprefix("rgb(").split(",")
        assert int(dark) < 60
