"""The page in a real browser: what it shows, and what one types into it."""

import socket
import unicodedata
from contextlib import ExitStack

import pytest
from selenium.webdriver.common.keys import Keys

from browsing import Page, missing
from chat_harness import Server, remember
from words import BadInput, clean_name, clean_room

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")


def test_names_and_rooms_are_what_the_server_takes(site: Server, ada: Page) -> None:
    """A character that both know is allowed in the page if the server allows it, and only then; ideographs aside."""
    ada.open(site.url)
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


def test_the_message_of_the_day_is_in_sight(site: Server, ada: Page) -> None:
    """In a line of its own, whatever history there is; it changes, and is gone when the file is emptied."""
    remember(site.database, map(str, range(150)), room="library")
    ada.enter(site.url + "#library", "ada")
    assert ada.said[-1] == "149"
    assert ada.one("#motd").text == "Welcome. Edit motd.txt and everyone here reads what you wrote."
    assert ada.one("#motd").is_displayed()
    (site.folder / "motd.txt").write_text("Read http://example.org/rules.")
    ada.until(lambda: ada.one("#motd").text == "Read http://example.org/rules.")
    assert ada.one("#motd a").get_attribute("href") == "http://example.org/rules"
    (site.folder / "motd.txt").write_text("")
    ada.until(lambda: not ada.one("#motd").is_displayed())


def test_addresses_are_links(site: Server, ada: Page) -> None:
    """Those of the web, without the punctuation around them, and without a way back into the page."""
    ada.enter(site.url + "#links", "ada")
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


def test_strange_messages(site: Server, ada: Page) -> None:
    """Nothing to see is not sent, many empty lines are few, and a long line or one word does not stick out."""
    ada.enter(site.url + "#strange", "ada")
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
    assert ada.run("document.querySelector('#log .row').getBoundingClientRect().width < 800")
    assert not ada.texts("#unsent li")
    assert ada.texts("#hint") == [""]


def test_what_still_fits(site: Server, ada: Page) -> None:
    """Near the end the characters that are left are counted, an emoji as one; what is too long stays where it is."""
    ada.enter(site.url + "#length", "ada")
    ada.paste("🙂" * 1700)
    assert ada.texts("#left") == [""]
    ada.paste("🙂" * 1999)
    assert ada.texts("#left") == ["1 characters left"]
    ada.say_much("🙂" * 2001)
    assert ada.texts("#left") == ["1 characters too many"]
    ada.type(Keys.BACKSPACE, Keys.ENTER)
    ada.until(lambda: ada.said == ["🙂" * 2000])
    assert ada.texts("#left") == [""]


def test_the_field_grows(site: Server, ada: Page) -> None:
    """With what is typed in it, up to a third of the screen, and covers nothing; the end of the log stays in sight."""
    remember(site.database, map(str, range(150)), room="garden")
    ada.look(width=390, height=700)
    ada.enter(site.url + "#garden", "ada")
    low = height(ada, "#say")
    for line in ("one", "two", "three", "four"):
        ada.type(line, Keys.SHIFT + Keys.ENTER + Keys.NULL)
    assert height(ada, "#say") > low + 60
    ada.until(lambda: ada.shows("#log .row:last-child", within="#log"))
    assert not ada.one("#newer").is_displayed()
    ada.type(Keys.PAGE_UP)
    ada.until(lambda: ada.one("#newer").is_displayed())
    assert ada.shows("#newer", within="#messages")
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


def test_a_name_is_asked_for_until_there_is_one(site: Server, ada: Page) -> None:
    """The dialog says what a name may be, and neither Escape nor a bad name closes it."""
    ada.open(site.url)
    assert "letters, digits, dots, dashes or underscores" in ada.one("#name-hint").text
    for keys in ((Keys.ESCAPE,), (Keys.ESCAPE,), ("not one", Keys.ENTER)):
        ada.type(*keys)
        ada.until(lambda: ada.one("#name").is_displayed())
    ada.type(Keys.CONTROL + "a" + Keys.NULL, "Ada_L.-1", Keys.ENTER)
    ada.until(lambda: ada.texts("#people bdi") == ["Ada_L.-1 (you)"])


def test_people_are_in_order(site: Server, ada: Page) -> None:
    """bob-2 comes before bob-10."""
    ada.enter(site.url, "ada")
    with ExitStack() as connections:
        for _ in range(11):
            bob = connections.enter_context(socket.create_connection(("127.0.0.1", site.tcp_port)))
            bob.sendall(b"bob\n")
        names = ["ada (you)", "bob", *(f"bob-{number}" for number in range(2, 12))]
        ada.until(lambda: ada.texts("#people bdi") == names)
    ada.until(lambda: ada.texts("#people bdi") == ["ada (you)"])


def test_a_hidden_tab_counts_what_it_has_not_shown(site: Server, ada: Page) -> None:
    """What is said while nobody looks is counted in the title; history and one's own words are not."""
    remember(site.database, map(str, range(50)), room="title")
    ada.enter(site.url + "#title", "ada")
    ada.until(lambda: ada.said[-1:] == ["49"])
    with ada.prepared("Object.defineProperty(document, 'hidden', { get: () => window.isHidden ?? true })"):
        ada.driver.refresh()
    ada.until(lambda: ada.is_live() and ada.said[-1:] == ["49"])
    assert ada.driver.title == "#title · trisig chat"
    ada.say("mine")
    ada.until(lambda: ada.said[-1] == "mine")
    assert ada.driver.title == "#title · trisig chat"
    remember(site.database, ["another's"], room="title")
    ada.say("and mine")
    ada.until(lambda: ada.said[-2:] == ["another's", "and mine"])
    assert ada.driver.title == "(1) #title · trisig chat"
    ada.driver.execute_script("window.isHidden = false; dispatchEvent(new Event('visibilitychange'))")
    assert ada.driver.title == "#title · trisig chat"


def test_a_phone(site: Server, ada: Page) -> None:
    """On a narrow screen the rooms and people are behind a button, and nothing sticks out."""
    ada.look(width=390, height=780, dark=True)
    ada.enter(site.url + "#phone", "ada")
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
def test_all_can_be_read(site: Server, ada: Page, *, dark: bool) -> None:
    """Words stand out from their ground at least 4.5 to 1, names of every colour among them; edges of fields 3 to 1."""
    ada.look(dark=dark)
    remember(site.database, ["hello"], room=f"colours{dark:d}")
    ada.enter(site.url + f"#colours{dark:d}", "ada")
    ada.say("http://example.org/")
    ada.until(lambda: len(ada.said) == 2)
    for _ in range(8):
        ada.type(Keys.TAB)  # a field with the focus has another edge
        if ada.run("document.activeElement.id") not in {"say", "open-room"}:
            break
    contrasts = ada.driver.execute_script(CONTRASTS)
    low = {what: ratio for what, ratio in contrasts.items() if ratio < (3 if "border" in what else 4.5)}
    assert not low, contrasts
