"""The fixture that fails a test which leaves something behind, shown what it has to find."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

TESTS = Path(__file__).parents[1]
LEAKS = """
import os, subprocess, sys, threading, time
import trio

forever = threading.Event()

def test_child():
    os.posix_spawn(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)"], {})

def test_zombie():
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

def test_descriptor():
    os.open("/dev/null", os.O_RDONLY)

def test_thread():
    threading.Thread(target=forever.wait, daemon=True).start()

def test_clean():
    subprocess.run(["/bin/true"], check=True)
    with open("/dev/null"):
        pass
    thread = threading.Thread(target=time.sleep, args=(0.01,))
    thread.start()
    thread.join()
    trio.run(trio.to_thread.run_sync, os.getpid)
"""


def test_each_leak_fails_its_own_test_only(pytester: pytest.Pytester) -> None:
    """A child, a zombie, a descriptor and a thread are found, each where it was left, and a clean test passes."""
    pytester.makeconftest((TESTS / "conftest.py").read_text())
    pytester.makeini(f"[pytest]\npythonpath = {TESTS / 'support'}")
    pytester.makepyfile(test_left=LEAKS)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rE", timeout=60)
    result.assert_outcomes(passed=5, errors=4)
    result.stdout.fnmatch_lines(
        ["ERROR *::test_child*", "ERROR *::test_zombie*", "ERROR *::test_desc*", "ERROR *::test_thread*"]
    )
    result.stdout.fnmatch_lines(
        ["*left child processes*", "*left child processes*", "*left open desc*", "*left threads*"]
    )
    result.stdout.no_fnmatch_line("*_ ERROR at teardown of test_clean _*")
