"""Run the example of the README, as a reader would who has installed the package and nothing else.

    python tests/support/run_readme.py FOLDER

writes the program to the folder, runs the command that stands below it, and stops it when it has printed a line.
"""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
PRINTED = "words: 5\n"
PATIENCE = 60


def main(folder: Path) -> None:
    """Write it, run it, stop it; its status must be 0."""
    text = README.read_text()
    [(name, program)] = re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    [command] = re.findall(r"^    trisig (run .*)$", text, re.MULTILINE)
    (folder / name).write_text(program)
    words = [sys.executable, "-W", "error", "-m", "trisig", *command.split()]
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        printed = running.stdout.readline()
        running.terminate()
        status = running.wait(PATIENCE)
    if (printed, status) != (PRINTED, 0):
        raise SystemExit(f"the example of the README printed {printed!r}, and its status is {status}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
