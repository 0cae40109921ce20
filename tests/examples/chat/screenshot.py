"""Takes the pictures of the documentation, with chromium and its driver.

python tests/examples/chat/screenshot.py docs/pictures
"""

import argparse
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from browsing import Page, browser
from chat_harness import Server, chat_server

ADA = [
    "I killed worker {} with SIGKILL just now. Did you notice?",
    "And nothing is missing?",
    "And the other three workers did not even blink. <b>Good.</b>",
]
GRACE = [
    "It was mine. The page said so, came back by itself, and showed me what you wrote meanwhile.",
    "Nothing, and nothing is there twice. All it takes is\nSELECT * FROM events WHERE id > ? ORDER BY id",
]


def enter(server: Server, ada: Page, grace: Page) -> None:
    """Let two people in, on two workers: who is let in by which one is chance."""
    ada.enter(server.url, "ada")
    grace.enter(server.url, "grace")
    while grace.worker == ada.worker:
        grace.enter(server.url, "grace")
    ada.until(lambda: len(ada.texts("#people li")) == 2)


def talk(server: Server, ada: Page, grace: Page) -> None:
    """Two people in a room, one of whom has been disturbed, and others elsewhere."""
    say(ada, ADA[0].format(grace.worker), grace)
    say(grace, GRACE[0], ada)
    say(ada, ADA[1], grace)
    say(grace, GRACE[1], ada)
    say(ada, ADA[2], grace)


@contextmanager
def others(server: Server, ada: Page) -> Iterator[None]:
    """People in a terminal, in other rooms."""
    with ExitStack() as connections:
        for name, room in (("alan", "lobby"), ("barbara", "releases"), ("edsger", "releases"), ("tony", "tea")):
            connection = connections.enter_context(socket.create_connection(("127.0.0.1", server.tcp_port)))
            connection.sendall(f"{name}\n/join {room}\n".encode())
        ada.until(lambda: len(ada.texts("#rooms li")) == 3 and len(ada.texts("#people li")) == 3)
        yield


def say(speaker: Page, text: str, reader: Page) -> None:
    """Say something of more than one line, and wait until it is read."""
    speaker.paste(text)
    speaker.say("")
    reader.until(lambda: text in reader.said)


def main(folder: Path) -> None:
    """Write chat.png, chat-phone.png and chat-lost.png into a folder."""
    tmp = Path(tempfile.mkdtemp())
    with chat_server(tmp, "--workers=4") as server:
        with browser(tmp / "1") as ada, browser(tmp / "2", width=390, height=700, dark=True) as grace:
            enter(server, ada, grace)
            with others(server, ada):
                talk(server, ada, grace)
                ada.driver.save_screenshot(str(folder / "chat.png"))
                grace.driver.save_screenshot(str(folder / "chat-phone.png"))
            # With the master stopped too, nobody takes the place of the killed worker.
            stopped = [server.process.pid, *(server.worker_pid(number) for number in range(1, 5))]
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            os.kill(killed := server.worker_pid(ada.worker), signal.SIGKILL)
            ada.say("This is typed while nobody answers.")
            ada.until(lambda: ada.one("#trouble").is_displayed())
            ada.driver.save_screenshot(str(folder / "chat-lost.png"))
            stopped.remove(killed)
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    main(parser.parse_args().folder)
