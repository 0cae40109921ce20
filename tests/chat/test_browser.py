"""The page in a real browser: two windows talk, a worker is killed, the page comes back by itself."""

import os
import re
import signal
import socket
import unicodedata
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import alert_is_present
from selenium.webdriver.support.ui import WebDriverWait
from witness import stopped

from browsing import WAIT, Page, browser, missing
from chat_harness import Server, chat_server, remember
from words import BadInput, clean_name, clean_room

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")

DOWN = Keys.ALT + Keys.ARROW_DOWN + Keys.NULL


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for all of them, who meet in rooms of their own; its log must be free of failures at the end."""
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


def test_two_windows_talk_and_a_worker_dies(server: Server, ada: Page, grace: Page) -> None:
    """Both read both; the killed worker's page says so, comes back, shows what it missed and sends what was waiting."""
    ada.enter(server.url, "ada")
    grace.enter(server.url, "ada")
    assert grace.texts("#people bdi") == ["ada", "ada-2 (you)"]
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
    hit, other = server.worker_pid(ada.worker), server.worker_pid(3 - ada.worker)
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
    assert is_seen(ada, "#unsent li:last-child", within="#unsent")
    os.kill(hit, signal.SIGKILL)
    os.kill(other, signal.SIGCONT)
    grace.until(lambda: grace.said[2:] == waiting)
    ada.until(lambda: ada.is_live() and not ada.texts("#unsent li"))
    grace.say("welcome back")
    ada.until(lambda: ada.said[2:] == [*waiting, "welcome back"])
    assert "reconnecting" in seen_status(ada)
    assert not ada.one("#trouble").is_displayed()


def watch_status(page: Page) -> None:
    """Remember every state of the connection that the page shows."""
    page.driver.execute_script(
        "window.seen = []; new MutationObserver(() => seen.push(document.getElementById('status').textContent))"
        ".observe(document.getElementById('status'), { childList: true })"
    )


def seen_status(page: Page) -> object:
    """What `watch_status` saw."""
    return page.run("window.seen")


def is_seen(page: Page, selector: str, within: str) -> bool:
    """Whether an element is scrolled into sight, wholly."""
    box = f"document.querySelector('{within}').getBoundingClientRect()"
    inner = f"document.querySelector('{selector}').getBoundingClientRect()"
    return bool(page.run(f"{inner}.top >= {box}.top - 1 && {inner}.bottom <= {box}.bottom + 1"))


def test_rooms_by_keyboard(server: Server, ada: Page) -> None:
    """/join opens a room, Alt and the arrows change rooms, and each has its own messages; so has the address."""
    ada.enter(server.url + "#cellar", "ada")
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


def test_a_room_that_cannot_be(server: Server, ada: Page) -> None:
    """However it is named, the page says why there is none, keeps what was typed, and is in a room all the time."""
    why = "The name of a room has 1 to 32 letters, digits, dashes or underscores."
    ada.enter(server.url, "ada")
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
        ada.driver.get(server.url + address)
        ada.until(lambda: ada.is_live() and ada.one("#room").text == "#lobby" and ada.texts("#hint") == [why])
        ada.say("/join c")
        ada.until(lambda: ada.one("#room").text == "#c" and ada.texts("#rooms [aria-current] span") == ["#c", "1"])
    assert ada.texts("#rooms button span:first-child") == ["#c", "#lobby"]


def test_names_and_rooms_are_what_the_server_takes(server: Server, ada: Page) -> None:
    """A character that both know is allowed in the page if the server allows it, and only then; ideographs aside."""
    ada.open(server.url)
    script = """
        const [done] = arguments;
        import("/words.js").then(({ cleanName, cleanRoom }) => {
            const taken = (clean) => [...Array(0x20000).keys()].filter((code) => clean(String.fromCodePoint(code)));
            done([taken(cleanName), taken(cleanRoom)]);
        });
    """
    for clean, taken in zip((clean_name, clean_room), ada.driver.execute_async_script(script), strict=True):
        known = [code for code in range(0x20000) if unicodedata.category(chr(code)) != "Cn"]
        assert [code for code in known if is_taken(clean, chr(code))] == sorted(set(known) & set(taken))


def is_taken(clean: object, text: str) -> bool:
    """Whether the server allows it."""
    assert callable(clean)
    try:
        clean(text)
    except BadInput:
        return False
    return True


def test_a_page_with_other_rules_than_the_server(server: Server, ada: Page) -> None:
    """What only the server refuses does not trap the page: it goes to the lobby, or asks for another name."""
    ada.enter(server.url, "ada")
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


def test_a_message_said_on_the_way_out(server: Server, ada: Page) -> None:
    """It is in the room that it was said in, and nowhere waits for ever, however much was said there since."""
    ada.enter(server.url + "#yard", "ada")
    ada.driver.execute_script(SAY_AND_LEAVE)
    ada.say("first")
    ada.until(lambda: ada.one("#room").text == "#lobby" and ada.is_live())
    remember(server.database, map(str, range(150)), room="yard")
    ada.driver.back()
    ada.until(lambda: ada.one("#room").text == "#yard" and ada.said[-1:] == ["149"])
    ada.say("third")
    ada.until(lambda: ada.said[-2:] == ["149", "third"] and not ada.texts("#unsent li"))
    ada.driver.refresh()
    ada.until(lambda: ada.is_live() and len(ada.said) == 100)
    with stopped(server.worker_pid(ada.worker)):
        ada.say("/join empty-yard")
        ada.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
        assert ada.one("#room").text == "#empty-yard"
    ada.until(lambda: "#empty-yard" in ada.texts("#rooms [aria-current] span"))
    assert ada.said == []


def test_what_begins_with_a_slash(server: Server, ada: Page) -> None:
    """A command answers, a text that is none stays with a hint, and two slashes say one."""
    ada.enter(server.url + "#slash", "ada")
    ada.say("/etc/passwd is a file")
    ada.until(lambda: "There is no /etc/passwd. Begin with //" in ada.texts("#hint")[0])
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


def test_the_message_of_the_day_is_in_sight(server: Server, ada: Page) -> None:
    """In a line of its own, whatever history there is; it changes, and is gone when the file is emptied."""
    remember(server.database, map(str, range(150)), room="library")
    ada.enter(server.url + "#library", "ada")
    assert ada.said[-1] == "149"
    assert ada.one("#motd").text == "Welcome. Edit motd.txt and everyone here reads what you wrote."
    assert ada.one("#motd").is_displayed()
    (server.folder / "motd.txt").write_text("Read http://example.org/rules.")
    ada.until(lambda: ada.one("#motd").text == "Read http://example.org/rules.")
    assert ada.one("#motd a").get_attribute("href") == "http://example.org/rules"
    (server.folder / "motd.txt").write_text("")
    ada.until(lambda: not ada.one("#motd").is_displayed())


def test_addresses_are_links(server: Server, ada: Page) -> None:
    """Those of the web, without the punctuation around them, and without a way back into the page."""
    ada.enter(server.url + "#links", "ada")
    ada.say(
        'See https://example.org/a_(b)?c=d&e=f. (And HTTP://example.com/x)! "http://[::1]:80/" javascript:alert(1) http://'
    )
    ada.until(lambda: ada.said)
    script = "[...document.querySelectorAll('#log .body a')].map((link) => [link.textContent, link.href, link.rel])"
    assert ada.run(script) == [
        ["https://example.org/a_(b)?c=d&e=f", "https://example.org/a_(b)?c=d&e=f", "noopener noreferrer"],
        ["HTTP://example.com/x", "http://example.com/x", "noopener noreferrer"],
        ["http://[::1]:80/", "http://[::1]/", "noopener noreferrer"],
    ]


def test_strange_messages(server: Server, ada: Page) -> None:
    """Nothing to see is not sent, many empty lines are few, and a long line or one word does not stick out."""
    ada.enter(server.url + "#strange", "ada")
    for nothing in ("\u200b", "\u2800 \u3164", "\u202e"):
        ada.say_much(nothing)
        assert ada.draft == ""
        ada.until(lambda: not ada.texts("#unsent li"))
    ada.say_much("a" + "\n" * 500 + "b")
    ada.until(lambda: ada.said == ["a\n\n\nb"])
    assert ada.run("document.querySelector('#log .body').getBoundingClientRect().height < 120")
    ada.say_much("W" * 600)
    ada.say_much("words " * 50)
    ada.until(lambda: len(ada.said) == 3)
    assert ada.run("document.querySelector('#log').scrollWidth <= document.querySelector('#log').clientWidth")
    assert ada.run("document.querySelector('#log .row').getBoundingClientRect().width") < 800
    assert not ada.texts("#unsent li")
    assert ada.texts("#hint") == [""]


def test_what_still_fits(server: Server, ada: Page) -> None:
    """Near the end the characters that are left are counted, an emoji as one; what is too long stays where it is."""
    ada.enter(server.url + "#length", "ada")
    ada.paste("🙂" * 1700)
    assert ada.texts("#left") == [""]
    ada.paste("🙂" * 1999)
    assert ada.texts("#left") == ["1 characters left"]
    ada.say_much("🙂" * 2001)
    assert ada.texts("#left") == ["1 characters too many"]
    ada.type(Keys.BACKSPACE, Keys.ENTER)
    ada.until(lambda: ada.said == ["🙂" * 2000])
    assert ada.texts("#left") == [""]


def test_the_field_grows(server: Server, ada: Page) -> None:
    """With what is typed in it, up to a third of the screen, and covers nothing; the end of the log stays in sight."""
    remember(server.database, map(str, range(150)), room="garden")
    ada.look(width=390, height=700)
    ada.enter(server.url + "#garden", "ada")
    low = height(ada, "#say")
    for line in ("one", "two", "three", "four"):
        ada.type(line, Keys.SHIFT + Keys.ENTER + Keys.NULL)
    assert height(ada, "#say") > low + 60
    ada.until(lambda: is_seen(ada, "#log .row:last-child", within="#log"))
    assert not ada.one("#newer").is_displayed()
    ada.type(Keys.PAGE_UP)
    ada.until(lambda: ada.one("#newer").is_displayed())
    assert is_seen(ada, "#newer", within="#messages")
    assert height(ada, "#composer button") < low + 5
    ada.type(Keys.ENTER)
    ada.until(lambda: ada.said[-1] == "one\ntwo\nthree\nfour" and not ada.one("#newer").is_displayed())
    assert height(ada, "#say") == low
    ada.paste("\n".join(map(str, range(60))))
    assert height(ada, "#field") == height(ada, "#say") == pytest.approx(0.35 * 700, abs=1)
    ada.paste("word " * 25)
    assert height(ada, "#say") > low + 40


def height(page: Page, selector: str) -> float:
    """How high an element is, in pixels."""
    return float(str(page.run(f"document.querySelector('{selector}').getBoundingClientRect().height")))


def test_who_goes_to_another_page_is_gone(server: Server, ada: Page, grace: Page) -> None:
    """At once, though the browser may keep the page; whoever comes back to it is there again, and misses nothing."""
    grace.enter(server.url + "#door", "grace")
    ada.enter(server.url + "#door", "ada")
    grace.until(lambda: grace.texts("#people bdi") == ["ada", "grace (you)"])
    ada.driver.get("about:blank")
    grace.until(lambda: grace.texts("#people bdi") == ["grace (you)"])
    grace.say("while you were out")
    ada.driver.back()
    ada.until(lambda: ada.is_live() and ada.said == ["while you were out"])


def test_a_name_is_asked_for_until_there_is_one(server: Server, ada: Page) -> None:
    """The dialog says what a name may be, and neither Escape nor a bad name closes it."""
    ada.open(server.url)
    assert "letters, digits, dots, dashes or underscores" in ada.one("#name-hint").text
    for keys in ((Keys.ESCAPE,), (Keys.ESCAPE,), ("not one", Keys.ENTER)):
        ada.type(*keys)
        ada.until(lambda: ada.one("#name").is_displayed())
    ada.type(Keys.CONTROL + "a" + Keys.NULL, "Ada_L.-1", Keys.ENTER)
    ada.until(lambda: ada.texts("#people bdi") == ["Ada_L.-1 (you)"])


def test_people_are_in_order(server: Server, ada: Page) -> None:
    """bob-2 comes before bob-10."""
    ada.enter(server.url, "ada")
    with ExitStack() as connections:
        for _ in range(11):
            bob = connections.enter_context(socket.create_connection(("127.0.0.1", server.tcp_port)))
            bob.sendall(b"bob\n")
        names = ["ada (you)", "bob", *(f"bob-{number}" for number in range(2, 12))]
        ada.until(lambda: ada.texts("#people bdi") == names)
    ada.until(lambda: ada.texts("#people bdi") == ["ada (you)"])


def test_a_hidden_tab_counts_what_it_has_not_shown(server: Server, ada: Page) -> None:
    """What is said while nobody looks is counted in the title; history and one's own words are not."""
    remember(server.database, map(str, range(50)), room="title")
    ada.enter(server.url + "#title", "ada")
    ada.until(lambda: ada.said[-1:] == ["49"])
    with ada.prepared("Object.defineProperty(document, 'hidden', { get: () => window.isHidden ?? true })"):
        ada.driver.refresh()
    ada.until(lambda: ada.is_live() and ada.said[-1:] == ["49"])
    assert ada.driver.title == "#title · trisig chat"
    ada.say("mine")
    ada.until(lambda: ada.said[-1] == "mine")
    assert ada.driver.title == "#title · trisig chat"
    remember(server.database, ["another's"], room="title")
    ada.say("and mine")
    ada.until(lambda: ada.said[-2:] == ["another's", "and mine"])
    assert ada.driver.title == "(1) #title · trisig chat"
    ada.driver.execute_script("window.isHidden = false; dispatchEvent(new Event('visibilitychange'))")
    assert ada.driver.title == "#title · trisig chat"


def test_the_reason_of_a_dismissal_is_shown(server: Server, ada: Page) -> None:
    """A page that is too busy to read is dropped; it comes back by itself, says why, and has missed nothing."""
    ada.enter(server.url + "#busy", "ada")
    ada.driver.execute_script("setTimeout(() => alert('This page is busy.'))")
    alert = WebDriverWait(ada.driver, WAIT).until(alert_is_present())
    remember(server.database, (f"{number}" + " x" * 450 for number in range(5000)), room="busy")
    with socket.create_connection(("127.0.0.1", server.tcp_port)) as bob:
        bob.sendall(b"bob\n/join busy\nlast\n")
        server.wait_for_log(r"ada\S* does not read, and is dropped")
        alert.accept()
        ada.until(lambda: ada.said[-1:] == ["last"] and ada.is_live())
    assert "too far behind" in ada.texts("#hint")[0]


def test_away_and_back(tmp_path: Path, ada: Page) -> None:
    """Who was silent for long is told so, and comes back by saying something, with the mouse alone too."""
    with chat_server(tmp_path, "--workers=2", "--idle=0.8") as server:
        ada.enter(server.url, "ada")
        ada.until(lambda: ada.one("#status").text == "away")
        assert ada.one("#trouble").text.startswith("You were silent for so long that your place was cleared.")
        ada.paste("with the mouse")
        ada.one("#composer button").click()
        ada.until(lambda: ada.said == ["with the mouse"])
        ada.until(lambda: ada.one("#status").text == "away")
        ada.one("#retry").click()
        ada.until(lambda: ada.is_live() and ada.said == ["with the mouse"])
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


def test_a_phone(server: Server, ada: Page) -> None:
    """On a narrow screen the rooms and people are behind a button, and nothing sticks out."""
    ada.look(width=390, height=780, dark=True)
    ada.enter(server.url + "#phone", "ada")
    ada.say_much("W" * 600)
    ada.until(lambda: ada.said == ["W" * 600])
    for close in (
        lambda: ada.one("#rooms [aria-current]").click(),
        lambda: ada.one("#menu").click(),
        lambda: ada.type(Keys.ESCAPE),
        lambda: ada.type("x"),
    ):
        assert not ada.one("#people").is_displayed()
        ada.one("#menu").click()
        ada.until(lambda: ada.one("#people").is_displayed())
        assert ada.one("#menu").get_attribute("aria-expanded") == "true"
        close()
        ada.until(lambda: not ada.one("#people").is_displayed())
        assert ada.one("#menu").get_attribute("aria-expanded") == "false"
    assert ada.draft == "x"
    assert ada.run("document.documentElement.scrollWidth <= innerWidth")
    assert ada.run("getComputedStyle(document.body).backgroundColor") == "rgb(21, 25, 28)"


CONTRASTS = """
    const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    function light(color) {
        context.fillStyle = color;
        context.fillRect(0, 0, 1, 1);
        const parts = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).map((part) => part / 255);
        const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        const [red, green, blue] = parts.map(linear);
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    }
    function contrast(one, other) {
        const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    }
    const style = (selector, pseudo) => getComputedStyle(document.querySelector(selector), pseudo);
    const paper = style("body").backgroundColor;
    const name = document.querySelector("#log .row:not(.mine) .by");
    const names = [...Array(360).keys()].map((hue) => {
        name.style.setProperty("--hue", hue);
        return contrast(getComputedStyle(name.firstChild).color, paper);
    });
    return {
        names: Math.min(...names),
        mine: contrast(style("#log .row.mine .by bdi").color, paper),
        text: contrast(style("#log .body").color, paper),
        time: contrast(style("#log time").color, paper),
        placeholder: contrast(style("#say", "::placeholder").color, style("#say").backgroundColor),
        link: contrast(style("#log a").color, paper),
        people: contrast(style("#people span").color, style("#side").backgroundColor),
        send: contrast(style("#composer button").color, style("#composer button").backgroundColor),
        hint: contrast(style("#hint").color, paper),
        "open hint": contrast(style("#open-hint").color, style("#side").backgroundColor),
        "border of a field": contrast(style("#say").borderTopColor, paper),
        "border in the side": contrast(style("#open-room").borderTopColor, style("#side").backgroundColor),
    };
"""


@pytest.mark.parametrize("dark", [False, True])
def test_all_can_be_read(server: Server, ada: Page, *, dark: bool) -> None:
    """Words stand out from their ground at least 4.5 to 1, names of every colour among them; edges of fields 3 to 1."""
    ada.look(dark=dark)
    remember(server.database, ["hello"], room=f"colours{dark:d}")
    ada.enter(server.url + f"#colours{dark:d}", "ada")
    ada.say("http://example.org/")
    ada.until(lambda: len(ada.said) == 2)
    for _ in range(8):
        ada.type(Keys.TAB)  # a field with the focus has another edge
        if ada.run("document.activeElement.id") not in {"say", "open-room"}:
            break
    contrasts = ada.driver.execute_script(CONTRASTS)
    low = {what: ratio for what, ratio in contrasts.items() if ratio < (3 if "border" in what else 4.5)}
    assert not low, contrasts
