"""Draw `trisig status` and `trisig top` as they look in a terminal: a real application, asked by the real commands.

    python docs/pictures/draw.py

writes status.svg and top.svg beside this file. It needs rich.
"""

import os
import re
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
TRISIG = (sys.executable, "-m", "trisig")
COLUMNS, LINES = 100, 26
# Fonts from elsewhere: a page has to show the same whatever it may load.
FOREIGN = re.compile(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", re.DOTALL)
APP = """
import random, time
import trio, trisig
signals = trisig.Signals()

@signals.handler(17, target="workers")
async def hello(signum):
    await trio.sleep(random.random() / 50)

@signals.timer(0.05, target="workers")
def tick(signum): time.sleep(0.002)

@signals.handler(18, target="mule1")
async def report(signum):
    await trio.sleep(60)

@signals.handler(19, target="worker", retry=trisig.Backoff(3600, 3600, attempts=5))
def flaky(signum): raise ValueError

@signals.cron("40 2 * * *", target="mule")
def night(signum): ...

@signals.file_monitor("/srv", target="worker")
def changed(signum): ...

@signals.task("mule")
def thumbnails(path: str, width: int) -> None: ...
"""


@contextmanager
def application(folder: Path) -> Iterator[None]:
    """Run the application."""
    (folder / "app.py").write_text(APP)
    command = [*TRISIG, "run", "app.py", "--workers=3", "--mules=2", "--control=app.sock", "--grace=1"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) as master:
        while subprocess.run([*TRISIG, "status"], cwd=folder, capture_output=True, check=False).returncode:
            time.sleep(0.1)
        try:
            yield
        finally:
            master.terminate()


def written(folder: Path, is_enough: Callable[[str], bool], *words: str) -> str:
    """What a command writes to a terminal until it is enough, or until it ends."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (LINES, COLUMNS))
    with subprocess.Popen([*TRISIG, *words], cwd=folder, stdin=theirs, stdout=theirs, start_new_session=True) as asked:
        os.close(theirs)
        text = b""
        try:
            while not is_enough(text.decode(errors="replace")):
                text += os.read(ours, 65_536)
        except OSError:  # the command has ended
            pass
        asked.terminate()
    os.close(ours)
    return text.decode().replace("\r\n", "\n")


def draw(name: str, text: str) -> None:
    """Write a picture of what a terminal has been sent."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere)
        console.print(Text.from_ansi(text), end="")
    svg = console.export_svg(title=f"trisig {name}", unique_id=name)
    (HERE / f"{name}.svg").write_text(FOREIGN.sub("", svg))


def main() -> None:
    """Draw both."""
    os.environ.update(TRISIG_CONTROL="app.sock", TERM="xterm-256color", COLORTERM="truecolor")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with application(folder):
            for signum in (17, 17, 18, 19):
                subprocess.run([*TRISIG, "send", str(signum)], cwd=folder, check=True)
            time.sleep(5)
            draw("status", written(folder, lambda _: False, "status"))
            frames = written(folder, lambda text: text.count("\x1b[1;1H") > 4, "top").split("\x1b[1;1H")
            draw("top", re.sub(r"\x1b\[\d+;1H", "\n", frames[-2]))


if __name__ == "__main__":
    main()
