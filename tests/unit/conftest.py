"""What keeps these tests quick: none of them starts a process."""

import os
import subprocess
from typing import NoReturn

import pytest


@pytest.fixture(autouse=True)
def starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every way to start one."""

    def refuse(*_args: object, **_options: object) -> NoReturn:
        pytest.fail("a unit test starts no process: its place is tests/processes")

    for module, name in ((os, "fork"), (os, "posix_spawn"), (os, "posix_spawnp"), (subprocess, "Popen")):
        monkeypatch.setattr(module, name, refuse)
