"""The page in a real browser: two windows talk, a worker is killed, the page comes back by itself."""

import os
import re
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import alert_is_present
from selenium.webdriver.support.ui import WebDriverWait
from witness import stopped

from browsing import WAIT, Page, missing
from chat_harness import Server, chat_server, remember

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")

DOWN = Keys.ALT + Keys.ARROW_DOWN + Keys.NULL


def test_two_windows_talk_and_a_worker_dies(site: Server, ada: Page, grace: Page) -> None:
    """Both read both; the killed worker's page says so, comes back, shows what it missed and sends what was waiting."""
    ada.enter(site.url, "ada")
    grace.enter(site.url, "ada")
    assert grace.texts("#people bdi") == ["ada", "ada-2 (you)"]
    assert grace.texts("#hint") == ["The name ada is taken. You are ada-2; /name NAME chooses another one."]
    grace.say("/name grace")
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
    watch_unsent(ada)
    hit, other = site.worker_pid(ada.worker), site.worker_pid(3 - ada.worker)
    for pid in (hit, other):
        os.kill(pid, signal.SIGSTOP)
    waiting = [f"typed in the dark {number}" for number in range(12)]
    for text in waiting:
        ada.say(text)
    ada.until(lambda: ada.texts("#unsent li") == waiting)
    ada.say("/join elsewhere")
    ada.until(lambda: ada.one("#room").text == "#elsewhere" and not ada.texts("#unsent li"))
    ada.driver.back()
    ada.until(lambda: ada.one("#room").text == "#lobby" and ada.texts("#unsent li") == waiting)
    assert ada.run("document.querySelector('#unsent li:last-child').getBoundingClientRect().bottom <= innerHeight")
    assert ada.shows("#unsent li:last-child", within="#unsent")
    os.kill(hit, signal.SIGKILL)
    os.kill(other, signal.SIGCONT)
    grace.until(lambda: grace.said[2:] == waiting)
    ada.until(lambda: ada.is_live() and not ada.texts("#unsent li"))
    grace.say("welcome back")
    ada.until(lambda: ada.said[2:] == [*waiting, "welcome back"])
    assert "reconnecting" in seen_status(ada)
    assert ada.run("unsent")[:2] == [" · sending", " · waiting for the connection"]
    assert not ada.one("#trouble").is_displayed()


def watch_unsent(page: Page) -> None:
    """Remember every state of the messages that are not sent that the page shows."""
    page.driver.execute_script("""
        const list = document.getElementById("unsent");
        window.unsent = [];
        new MutationObserver(() => {
            const last = list.querySelector("li:not(.stored)");
            const shown = last && JSON.parse(getComputedStyle(last, "::after").content);
            if (shown && shown !== unsent.at(-1)) unsent.push(shown);
        }).observe(list, { childList: true, attributes: true });
    """)


def watch_status(page: Page) -> None:
    """Remember every state of the connection that the page shows."""
    page.driver.execute_script(
        "window.seen = []; new MutationObserver(() => seen.push(document.getElementById('status').textContent))"
        ".observe(document.getElementById('status'), { childList: true })"
    )


def seen_status(page: Page) -> Any:
    """What `watch_status` saw."""
    return page.run("window.seen")


def test_rooms_by_keyboard(site: Server, ada: Page) -> None:
    """/join opens a room, Alt and the arrows change rooms, and each has its own messages; so has the address."""
    ada.enter(site.url + "#cellar", "ada")
    ada.say("in the cellar")
    ada.until(lambda: ada.said == ["in the cellar"])
    ada.say("/join Attic")
    ada.until(lambda: ada.one("#room").text == "#attic" and ada.said == [])
    ada.say("in the attic")
    ada.until(lambda: ada.said == ["in the attic"])
    ada.type(DOWN)
    ada.until(lambda: ada.said == ["in the cellar"])
    assert ada.texts("#rooms button span:first-child") == ["#attic", "#cellar", "#lobby"]
    ada.driver.back()
    ada.until(lambda: ada.said == ["in the attic"])
    ada.driver.refresh()
    ada.until(lambda: ada.said == ["in the attic"])
    assert ada.texts("#hint") == [""]


def test_a_room_that_cannot_be(site: Server, ada: Page) -> None:
    """However it is named, the page says why there is none, keeps what was typed, and is in a room all the time."""
    why = "The name of a room has 1 to 32 letters, digits, dashes or underscores."
    ada.enter(site.url, "ada")
    ada.say("/join my room!")
    ada.until(lambda: ada.texts("#hint") == [why])
    assert ada.draft == "/join my room!"
    ada.type(Keys.CONTROL + "a" + Keys.NULL + Keys.DELETE)
    assert ada.texts("#hint") == [""]
    ada.one("#open-room").click()
    ada.type("c++", Keys.ENTER)
    ada.until(lambda: ada.texts("#open-hint") == [why])
    assert ada.run("document.getElementById('open-room').value") == "c++"
    ada.type(Keys.BACKSPACE, Keys.BACKSPACE, Keys.ENTER)
    ada.until(lambda: ada.one("#room").text == "#c" and ada.is_live())
    for address in ("#bad%20room", "#%"):
        ada.driver.execute_script(f"location.hash = '{address}'")
        ada.until(lambda: ada.one("#room").text == "#lobby" and ada.texts("#hint") == [why])
        ada.driver.get("about:blank")
        ada.driver.get(site.url + address)
        ada.until(lambda: ada.is_live() and ada.one("#room").text == "#lobby" and ada.texts("#hint") == [why])
        ada.say("/join c")
        ada.until(lambda: ada.one("#room").text == "#c" and ada.texts("#rooms [aria-current] span") == ["#c", "1"])
    assert ada.texts("#rooms button span:first-child") == ["#c", "#lobby"]


def test_a_page_with_other_rules_than_the_server(site: Server, ada: Page) -> None:
    """What only the server refuses does not trap the page: it goes to the lobby, or asks for another name."""
    ada.enter(site.url, "ada")
    ada.driver.execute_script("""
        const send = WebSocket.prototype.send;
        WebSocket.prototype.send = function (data) {
            send.call(this, data.replace('"room":"attic"', '"room":"a b"').replace('"name":"zed"', '"name":"z d"'));
        };
    """)
    ada.say("/join attic")
    ada.until(lambda: ada.one("#room").text == "#lobby" and "The name of a room has" in ada.texts("#hint")[0])
    ada.say("here")
    ada.until(lambda: ada.said[-1:] == ["here"])
    assert ada.texts("#rooms button span:first-child") == ["#lobby"]
    ada.say("/name zed")
    ada.until(lambda: ada.one("#who").is_displayed())
    assert ada.texts("#name-hint") == ["A name has 1 to 24 letters, digits, dots, dashes or underscores."]
    ada.type("ada", Keys.ENTER)
    ada.until(lambda: ada.texts("#people bdi") == ["ada (you)"])


# Just after one message was handed on, the worker rests, and does not hand on the next one before its sender has left.
SAY_AND_LEAVE = """
    const log = document.getElementById("log");
    new MutationObserver((_, observer) => {
        if (!log.textContent.includes("first")) return;
        observer.disconnect();
        document.getElementById("say").value = "second";
        document.getElementById("composer").requestSubmit();
        location.hash = "#lobby";
    }).observe(log, { childList: true });
"""


def test_a_message_said_on_the_way_out(site: Server, ada: Page) -> None:
    """It is in the room that it was said in, and nowhere waits for ever, however much was said there since."""
    ada.enter(site.url + "#yard", "ada")
    ada.driver.execute_script(SAY_AND_LEAVE)
    ada.say("first")
    ada.until(lambda: ada.one("#room").text == "#lobby" and ada.is_live())
    remember(site.database, map(str, range(150)), room="yard")
    ada.driver.back()
    ada.until(lambda: ada.one("#room").text == "#yard" and ada.said[-1:] == ["149"])
    ada.say("third")
    ada.until(lambda: ada.said[-2:] == ["149", "third"] and not ada.texts("#unsent li"))
    ada.driver.refresh()
    ada.until(lambda: ada.is_live() and len(ada.said) == 100)
    with stopped(site.worker_pid(ada.worker)):
        ada.say("/join empty-yard")
        ada.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
        assert ada.one("#room").text == "#empty-yard"
    ada.until(lambda: "#empty-yard" in ada.texts("#rooms [aria-current] span"))
    assert ada.said == []


def test_what_begins_with_a_slash(site: Server, ada: Page) -> None:
    """A command answers, a text that is none stays with a hint, and two slashes say one."""
    ada.enter(site.url + "#slash", "ada")
    ada.say("/etc/passwd is a file")
    ada.until(lambda: "Unknown command /etc/passwd. Begin with //" in ada.texts("#hint")[0])
    assert ada.draft == "/etc/passwd is a file"
    ada.type(Keys.HOME, "/", Keys.ENTER)
    ada.until(lambda: ada.said == ["/etc/passwd is a file"])
    assert ada.texts("#hint") == [""]
    ada.say("/WHO")
    ada.say("/help")
    told = ada.texts("#log .told")
    assert re.fullmatch(r"Here: .*ada \(#slash, worker [12]\).*", told[0])
    assert told[1].startswith("/join ROOM · /name NAME")
    ada.say("/name two words")
    ada.until(lambda: ada.texts("#hint")[0].startswith("A name has"))
    assert ada.draft == "/name two words"
    ada.type(Keys.CONTROL + "a" + Keys.NULL, "/name", Keys.ENTER)
    ada.until(lambda: ada.one("#who").is_displayed())
    ada.type("lovelace", Keys.ENTER)
    ada.until(lambda: "lovelace (you)" in ada.texts("#people bdi"))
    ada.say("it is me")
    ada.until(lambda: ada.said == ["/etc/passwd is a file", "it is me"])
    assert ada.texts("#log .by bdi") == ["ada", "lovelace"]
    assert ada.texts("#hint") == [""]


def test_who_goes_to_another_page_is_gone(site: Server, ada: Page, grace: Page) -> None:
    """At once, though the browser may keep the page; whoever comes back to it is there again, and misses nothing."""
    grace.enter(site.url + "#door", "grace")
    ada.enter(site.url + "#door", "ada")
    grace.until(lambda: grace.texts("#people bdi") == ["ada", "grace (you)"])
    ada.driver.get("about:blank")
    grace.until(lambda: grace.texts("#people bdi") == ["grace (you)"])
    grace.say("while you were out")
    ada.driver.back()
    ada.until(lambda: ada.is_live() and ada.said == ["while you were out"])


def test_the_reason_of_a_dismissal_is_shown(site: Server, ada: Page) -> None:
    """A page that is too busy to read is dropped; it comes back by itself, says why, and has missed nothing."""
    ada.enter(site.url + "#busy", "ada")
    ada.driver.execute_script("setTimeout(() => alert('This page is busy.'))")
    alert = WebDriverWait(ada.driver, WAIT).until(alert_is_present())
    remember(site.database, (f"{number}" + " x" * 450 for number in range(5000)), room="busy")
    with socket.create_connection(("127.0.0.1", site.tcp_port)) as bob:
        bob.sendall(b"bob\n/join busy\nlast\n")
        site.wait_for_log(r"ada\S* does not read and is disconnected")
        alert.accept()
        ada.until(lambda: ada.said[-1:] == ["last"] and ada.is_live())
    assert "too far behind" in ada.texts("#hint")[0]


def test_away_and_back(tmp_path: Path, ada: Page) -> None:
    """Who was silent for long is told so, and comes back by saying something, with the mouse alone too."""
    with chat_server(tmp_path, "--workers=2", "--idle=0.8") as server:
        ada.open(server.url)
        ada.type("ada", Keys.ENTER)
        ada.until(lambda: ada.one("#status").text == "away")
        assert ada.one("#trouble").text.startswith("You were silent for too long, so the server ended your session.")
        ada.paste("with the mouse")
        ada.one("#composer button").click()
        ada.until(lambda: ada.said == ["with the mouse"])
        ada.until(lambda: ada.one("#status").text == "away")
        watch_status(ada)
        ada.one("#retry").click()
        ada.until(lambda: any(status.startswith("worker ") for status in seen_status(ada)))
        assert ada.said == ["with the mouse"]
        ada.driver.get("about:blank")


def test_ten_thousand_messages(tmp_path: Path, ada: Page) -> None:
    """The document stays small however much is read; the first message is reached, none is left out on the way."""
    with chat_server(tmp_path, "--workers=2") as server:
        remember(server.database, [f"number {number}" for number in range(10_000)])
        ada.enter(server.url, "ada")
        ada.until(lambda: ada.said[-1:] == ["number 9999"])
        assert walk_up_to(ada, "number 0") == [f"number {number}" for number in range(10_000)]
        assert ada.one("#newer").is_displayed()
        ada.say_much("x" * 1500)
        ada.until(lambda: ada.said[-1] == "x" * 1500)
        log = "document.getElementById('log')"
        assert ada.run(f"{log}.scrollHeight - {log}.scrollTop - {log}.clientHeight < 4")
        # What is said meanwhile comes whole, and the document still stays small.
        remember(server.database, [f"again {number}" for number in range(1000)])
        ada.say("end")
        ada.until(lambda: ada.said[-1:] == ["end"])
        assert len(ada.said) <= 300
        assert walk_up_to(ada, "x" * 1500)[-1002:] == [
            "x" * 1500,
            *(f"again {number}" for number in range(1000)),
            "end",
        ]


def walk_up_to(page: Page, first: str) -> list[str]:
    """Scroll up to a message, and give all those that were in the document on the way, in order, without repeats."""
    script = """
        const [first, done] = arguments, log = document.getElementById("log"), seen = new Map();
        let most = 0;
        const bodies = () => [...log.querySelectorAll(".body")].map((body) => body.textContent);
        function step() {
            const now = bodies();
            most = Math.max(most, now.length);
            for (const body of now.toReversed()) if (!seen.has(body)) seen.set(body);
            if (seen.has(first)) return done([most, [...seen.keys()].reverse()]);
            log.scrollTo(0, 0);
            requestAnimationFrame(step);
        }
        step();
    """
    most, seen = page.driver.execute_async_script(script, first)
    assert most <= 300
    return list(seen)
