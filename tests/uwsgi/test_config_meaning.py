"""What options mean: the order of the places where they are written, numbers, farms, crons, and what is not served."""

from __future__ import annotations

from pathlib import Path

import pytest
from uwsgi_config import plan_of, write

from trisig._model.life_limits import LifeLimits
from trisig.uwsgi._config.entries import Entry
from trisig.uwsgi._config.known import KnownOptions
from trisig.uwsgi._config.problem import ConfigError
from trisig.uwsgi._config.reader import Configuration
from trisig.uwsgi._config.settings import Settings
from trisig.uwsgi._config.verdict import judge


def settings(*words: str, **environment: str) -> Settings:
    """What a command line means."""
    return plan_of(*words, **environment).settings


def test_later_places_win(tmp_path: Path) -> None:
    """The environment first, then the command line with its files in their places, then files without an option."""
    ini = write(tmp_path, "processes = 2")
    assert settings(UWSGI_PROCESSES="4").workers == 4
    assert settings("--ini", ini, UWSGI_PROCESSES="4").workers == 2
    assert settings("--ini", ini, "--processes", "5").workers == 5
    assert settings("--processes", "5", "--ini", ini).workers == 2
    assert settings(ini, "--processes", "5").workers == 2


def test_the_environment_adds_unknown_names_silently() -> None:
    """Applications have variables of their own with that prefix."""
    plan = plan_of(UWSGI_CUSTOM_KEY="7", UWSGI_MULE="", UWSGI_RELOADS="1")
    assert {entry.key: entry.value for entry in plan.configuration.entries} == {"custom-key": "7", "mule": ""}
    assert list(plan.remarks()) == []
    assert plan.settings.programs == ("",)


@pytest.mark.parametrize(
    ("words", "workers"),
    [
        (("-p", "3"), 3),
        (("-p3",), 3),
        (("--processes=3",), 3),
        (("--workers", "3", "-M"), 3),
        (("--process", "3"), 3),
        (("--set", "processes=3"), 3),
        (("--processes", "3 ; as many as cores"), 3),
        (("--processes", "0"), 0),
    ],
)
def test_the_command_line_is_read_as_getopt_reads_it(words: tuple[str, ...], workers: int) -> None:
    """Short options, values behind an equals sign, and the beginning of a name."""
    assert settings(*words).workers == workers


def test_mules_and_farms() -> None:
    """`mules` come first, in whatever order they are written; farms name them."""
    found = settings("--mule=a.py", "--mules", "2", "--mule", "--farm=busy:1,3")
    assert found.programs == ("", "", "a.py", "")
    assert found.farms == {"busy": (1, 3)}


def test_words_without_an_option_name_the_application() -> None:
    """A file of Python, or module:callable."""
    assert settings("app.py").wsgi_file == "app.py"
    assert settings("site.wsgi:app").wsgi_file == "site.wsgi"
    assert settings("package.site:app").module == "package.site:app"


def test_crons_and_timers() -> None:
    """Five numbers and a command, a list of keys and a command, signals and seconds."""
    found = settings("--cron=5 -1 -1 -1 0 echo a  b", "--unique-cron=-1 -1 -1 -1 -1 x", "--timer=300 1.5")
    assert [(cron.when, cron.command, cron.unique) for cron in found.cron] == [
        ((5, -1, -1, -1, 0), "echo a  b", False),
        ((-1, -1, -1, -1, -1), "x", True),
    ]
    assert [(event.signum, event.of) for event in found.timer] == [(44, "1")]
    second = settings("--cron2=minute=1,unique=1,harakiri=3,nonsense=1 run me", "--cron2=just this").cron2
    assert (second[0].when, second[0].command, second[0].unique, second[0].harakiri) == (
        (1, -1, -1, -1, -1), "run me", True, 3,
    )  # fmt: skip
    assert (second[1].when, second[1].command) == ((-1,) * 5, "just this")
    assert list(plan_of("--cron2=nonsense=1 x").remarks()) == ["cron2: unknown keys are ignored: nonsense"]


def test_a_log_by_udp_is_left_out() -> None:
    """With a line that says where it goes."""
    plan = plan_of("--logto=127.0.0.1:514")
    assert plan.settings.log_file == ""
    assert list(plan.remarks()) == ["logto = 127.0.0.1:514: no log is sent by UDP; it goes to standard error"]
    assert "log-file: /l" in plan_of("--logto=/l").lines()


@pytest.mark.parametrize(
    ("words", "file", "remarks"),
    [
        (("--logger=file:/l",), "/l", []),
        (("--logger=stdio",), "", []),
        (("--logger=fd:2", "--logto=/l"), "/l", []),
        (("--logto=/other", "--logger=file:logfile=/l"), "/l", []),
        (("--logger=stdio", "--logger=file:/l"), "/l", ["logger = stdio: the log goes to one place; it goes to /l"]),
        (
            ("--logger=file:/l", "--logger=file:/m"),
            "/l",
            ["logger = file:/m: the log goes to one place; it goes to /l"],
        ),
        (
            ("--logger=file:logfile=/l,maxsize=9",),
            "/l",
            ["logger = file:logfile=/l,maxsize=9: maxsize does nothing here; let logrotate rename it, and send SIGHUP"],
        ),
        (
            ("--logger=errors file:/l",),
            "",
            ["logger = errors file:/l: one with a name is for log-route, and gets nothing"],
        ),
        (
            ("--logger=syslog:app",),
            "",
            [
                "logger = syslog:app: not served, it goes to standard error; let systemd's journal send it there",
            ],
        ),
    ],
)
def test_where_the_log_goes(words: tuple[str, ...], file: str, remarks: list[str]) -> None:
    """To one place: the file of a logger before `logto`. What goes nowhere has its line."""
    plan = plan_of(*words)
    assert plan.settings.log_file == file
    assert list(plan.remarks()) == remarks


def test_limits_of_workers() -> None:
    """The lower limit of memory holds, an M means nothing, and of ages each worker has its own; 0 is no limit."""
    found = settings("-p2", "--reload-on-rss=512M", "--evil-reload-on-rss=256 ; MB", "--max-worker-lifetime=60")
    assert found.life_limits == dict.fromkeys(("worker1", "worker2"), LifeLimits(None, 60, 256 * 2**20, 10))
    ages = settings("-p3", "--max-worker-lifetime=60", "--max-worker-lifetime-delta=5", "--min-worker-lifetime=0")
    assert [limits.age for limits in ages.life_limits.values()] == [60, 65, 70]
    assert settings("--max-worker-lifetime=0", "--reload-on-rss=0").life_limits == {"worker1": LifeLimits(rss_after=10)}
    spaces = settings("-p1", "--reload-on-as=3", "--evil-reload-on-as=2").life_limits
    assert spaces == {"worker1": LifeLimits(rss_after=10, address_space=2 * 2**20)}
    assert "a worker is replaced at 2 MB of address space" in plan_of("--reload-on-as=2").lines()
    assert {"a worker is replaced after 60 s", "a worker is replaced at 7 MB of resident memory"} <= set(
        plan_of("--max-worker-lifetime=60", "--reload-on-rss=7").lines()
    )


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--processes", "two"), "is a number, not 'two'"),
        (("--processes", "-1"), "must be >= 0, not -1"),
        (("--mule", "--farm=busy:9"), "invalid mule id: 9"),
        (("--farm=busy",), "invalid farm value (busy) must be in the form name:mule[,muleN]."),
        (("--timer=26",), "invalid signal timer syntax, must be: <signal> <seconds>"),
        (("--timer=26 0",), "a timer of 0 seconds never fires"),
        (("--cron=* * * * * x",), "invalid cron syntax"),
        (("--signal-overlap=17 often",), "write queue, one or skip"),
        (("--cheaper=2", "-p2"), "invalid cheaper value: must be lower than processes"),
        (("--env=A",), "write NAME=value"),
        (("--reload-on-rss=big",), "reload-on-rss is a number, not 'big'"),
        (("--evil-reload-on-rss=1G",), "G is no unit here; write a number of megabytes, like evil-reload-on-rss = 512"),
        (("--logger=nothing:x",), "unable to find logger nothing; write file:<path>, or stdio"),
        (("--logger=file:",), "write the path of a file"),
        (("--logger=fd:7",), "write stdio"),
        (("--reload-on-as=big",), "reload-on-as is a number, not 'big'"),
        (("--reload-on-rss=1.5",), "write a number of megabytes"),
        (("--max-worker-lifetime=3",), "invalid min-worker-lifetime value (10), must be lower than"),
        (("--max-worker-lifetime=1h",), "or min-worker-lifetime = 0"),
        (("--proceses=2",), "--proceses is no option of uWSGI; did you mean --processes?"),
        (("--ini",), "--ini needs a value"),
        (("--master=x",), "--master takes no value"),
        (("-?",), "-? is no option of uWSGI"),
        (("app.txt",), "write the name of a file of options"),
        (("--emperor=x",), "let systemd start one `trisig uwsgi` for each file"),
    ],
)
def test_a_wrong_value_is_one_line(words: tuple[str, ...], problem: str) -> None:
    """It says what to write instead, before anything starts."""
    with pytest.raises(ConfigError) as caught:
        settings(*words)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_mistakes_are_shown_together(tmp_path: Path) -> None:
    """One run shows every line that is to be corrected."""
    with pytest.raises(ConfigError) as caught:
        settings("--ini", write(tmp_path, "processes = two\nthreads = x\ndaemonize = y\ntimer = 1"))
    assert len(str(caught.value).splitlines()) == 4


OPTIONS_OF_APPLICATIONS = """
auto-procname buffer-size cache2 callable chdir cheap cheaper cheaper-algo cheaper-initial chmod-socket cron
cron-harakiri cron2 daemonize die-on-term disable-logging emperor enable-metrics enable-threads env exec-pre-app
farm fs-signal gevent gid harakiri home honour-stdin hook-master-start http http-socket import ini lazy lazy-apps
legion locks log-4xx log-5xx logger logto master master-fifo max-requests max-worker-lifetime metric module mule
mule-harakiri mule-reload-mercy mules need-app pidfile plugin plugins pp processes procname py-autoreload pyargv
pyrun python-path pythonpath rbtimer reload-mercy reload-on-as reload-on-rss set set-placeholder shared-import
signal signal-bufsize signal-rbtimer signal-timer single-interpreter smart-attach-daemon socket spooler
spooler-chdir spooler-external spooler-frequency spooler-harakiri spooler-import spooler-max-tasks spooler-ordered
spooler-processes spooler-quiet static-map stats strict threads timer touch-mules-reload touch-reload touch-signal
touch-spoolers-reload touch-workers-reload uid unique-cron vacuum venv virtualenv worker-reload-mercy workers wsgi
wsgi-file attach-daemon attach-daemon2 evil-reload-on-as evil-reload-on-rss max-worker-lifetime-delta
min-worker-lifetime
"""


def test_each_option_that_applications_use_is_served_or_has_its_reason_in_the_page() -> None:
    """Those that public applications beside signals, mules and spoolers were seen to use."""
    page = (Path(__file__).parents[2] / "docs" / "uwsgi.md").read_text()
    rows = page.partition("| not served |")[2].partition("\n\n")[0].splitlines()[2:]
    reasons = " ".join(row.split("|")[1] for row in rows)
    known = KnownOptions.load()
    for name in OPTIONS_OF_APPLICATIONS.split():
        assert name in known
        try:
            verdict = judge(Configuration((Entry(name, "x"),), (), frozenset(), frozenset()), known, strict=True)
            is_served = not verdict.web + verdict.not_served
        except ConfigError:
            is_served = False
        assert is_served != (f"`{name}`" in reasons), name


def test_what_is_not_served_is_said_once(tmp_path: Path) -> None:
    """Web options in one line, other options in another one, unknown ones with the nearest name."""
    text = "http = :80\nsocket = /tmp/s\nalarm = x\nvaccum = true\nbase = /srv\nspooler_processes = 2"
    assert list(plan_of("--ini", write(tmp_path, text)).remarks()) == [
        "options of web serving, for your web server: http",
        "options that are not served here: alarm",
        "vaccum is no option of uWSGI, and only kept in uwsgi.opt; did you mean vacuum?",
        "base is no option of uWSGI, and only kept in uwsgi.opt",
        "spooler_processes is no option of uWSGI, and only kept in uwsgi.opt; did you mean spooler-processes?",
    ]
