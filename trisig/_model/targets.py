"""Targets: the words that say which processes run a handler. Pure.

A word is parsed when it is used, without knowing how many processes there will be, and resolved against
a `Topology` once there is one. Both steps raise `TargetError`; nothing else in trisig reads the words.

    ""  worker  worker0     first available worker       workers  active-workers  workerN
    spooler                 first available spooler      spoolers  spoolerN
    mule  mule0             first available mule         mules  muleN
    farmN  farm_NAME        first available mule of that farm

Of a cluster, one of these says where, and what follows a slash says who runs the handler there (a worker without it):

    cluster                 first available node
    nodes                   each node that is up
    node_NAME               that node
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from .errors import TargetError
from .process import CHILD_KINDS, Kind, process_name

Place = tuple[Kind, int]
Audience = Literal["first", "all", "active", "one"]

_WORDS = "worker, workers, active-workers, workerN, mule, mules, muleN, farmN, farm_NAME, spooler, spoolers or spoolerN"
_NODE_WORDS = "cluster, nodes or node_NAME, perhaps with a slash and one of those behind it"
ANY_NODE = ""
EVERY_NODE = "*"
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_NUMBERED = re.compile(r"(worker|mule|spooler|farm)(0|[1-9][0-9]{0,8})", re.ASCII)


class Target(msgspec.Struct, frozen=True):
    """A parsed target: `first`, `all`, `active` or `one` of a kind, or of a farm.

    Attributes:
        node: the name of a node of the cluster, `ANY_NODE` or `EVERY_NODE`; None for this master's own processes.
    """

    text: str
    kind: Kind
    audience: Audience
    number: int = 0
    farm: int | str | None = None
    node: str | None = None

    @property
    def fixed(self) -> bool:
        """Whether it names the same processes every time, as services and start hooks need."""
        if self.node is not None:
            return False
        return self.audience != "first" or self.farm is not None


class Topology(msgspec.Struct, frozen=True):
    """How many processes of each kind there are, and which mules form which farm.

    Raises:
        TypeError: a count that is not an int, or a farm whose mules are not numbers.
        ValueError: a negative count, or a farm that is not a name with numbers of mules.
        TargetError: a farm that names a mule which does not exist.
    """

    workers: int = 1
    mules: int = 0
    spoolers: int = 0
    farms: Mapping[str, Iterable[int]] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        for word in ("workers", "mules", "spoolers"):
            _count(word, getattr(self, word))
        if not isinstance(self.farms, Mapping):
            raise TypeError(f"farms maps names to mules, for example {{'busy': (1, 2)}}, not {self.farms!r}")
        checked = {name: self._farm(name, members) for name, members in self.farms.items()}
        msgspec.structs.force_setattr(self, "farms", checked)

    def _farm(self, name: object, members: object) -> tuple[int, ...]:
        if not isinstance(name, str) or not name:
            raise ValueError(f"a farm's name is text, for example 'busy', not {name!r}")
        if isinstance(members, (str, bytes)) or not isinstance(members, Iterable):
            raise TypeError(f"farm {name!r}: write the numbers of its mules, for example (1, 2), not {members!r}")
        numbers = tuple(members)
        if not numbers:
            raise TargetError(f"farm {name!r} has no mules; write the numbers of its mules, for example (1, 2)")
        for number in numbers:
            if type(number) is not int:
                raise TypeError(f"farm {name!r}: a mule is named by its number, not {number!r}")
            if not 1 <= number <= self.mules:
                raise TargetError(f"farm {name!r} names mule{number}, but {_have(self.mules, 'mule')}")
        return tuple(dict.fromkeys(numbers))

    def count(self, kind: Kind) -> int:
        return {"worker": self.workers, "mule": self.mules, "spooler": self.spoolers}.get(kind, 0)

    def processes(self) -> list[tuple[Kind, int]]:
        """Every child as (kind, number), in the order in which they are started."""
        return [(kind, number) for kind in CHILD_KINDS for number in range(1, self.count(kind) + 1)]

    def groups(self) -> dict[str, tuple[Place, ...]]:
        """The processes that can be first available together, by name: a kind, or `farm_` and the name of a farm."""
        groups: dict[str, tuple[Place, ...]] = {
            kind: tuple((kind, number) for number in range(1, self.count(kind) + 1)) for kind in CHILD_KINDS
        }
        for farm, mules in self.farms.items():
            groups[f"farm_{farm}"] = tuple(("mule", number) for number in mules)
        return groups

    def group_of(self, target: Target) -> str:
        """The name in `groups` of the processes that a first-available target means."""
        if target.farm is None:
            return target.kind
        return f"farm_{list(self.farms)[target.farm - 1] if isinstance(target.farm, int) else target.farm}"

    def names(self) -> list[str]:
        """The names of all children, in the order in which they are started."""
        return [process_name(kind, number) for kind, number in self.processes()]

    def farms_of(self, kind: Kind, number: int) -> tuple[str, ...]:
        return tuple(name for name, mules in self.farms.items() if kind == "mule" and number in mules)

    def members(self, target: Target) -> tuple[tuple[Kind, int], ...]:
        """The processes that a target can reach, cheaped or not.

        Raises:
            TargetError: this topology has none.
        """
        if target.farm is not None:
            return tuple(("mule", number) for number in self._mules_of(target))
        have = self.count(target.kind)
        if target.audience == "one":
            if target.number > have:
                wanted = f"open the master with {target.kind}s={target.number}"
                raise TargetError(f"target {target.text!r}: {_have(have, target.kind)}; {wanted}")
            return ((target.kind, target.number),)
        if not have:
            raise TargetError(
                f"target {target.text!r}: {_have(have, target.kind)}; open the master with {target.kind}s=1 or more"
            )
        return tuple((target.kind, number) for number in range(1, have + 1))

    def _mules_of(self, target: Target) -> tuple[int, ...]:
        if isinstance(target.farm, str) and target.farm in self.farms:
            return tuple(self.farms[target.farm])
        if isinstance(target.farm, int) and 1 <= target.farm <= len(self.farms):
            return tuple(list(self.farms.values())[target.farm - 1])
        known = ", ".join(self.farms) or "none"
        raise TargetError(f"target {target.text!r}: there is no such farm (farms: {known})")


def parse(text: str) -> Target:
    """Read a target word.

    Raises:
        TypeError: not text.
        TargetError: not a target.
    """
    if not isinstance(text, str):
        raise TypeError(f"a target is text, for example 'workers', not {text!r}")
    where, slash, who = text.partition("/")
    if (node := _node_of(where)) is not None:
        if slash and not who:
            raise TargetError(f"{text!r} is not a target: write who runs the handler behind the slash, or no slash")
        return msgspec.structs.replace(_parse_who(who), text=text, node=node)
    return _parse_who(text)


def _node_of(where: str) -> str | None:
    if where in ("cluster", "nodes"):
        return ANY_NODE if where == "cluster" else EVERY_NODE
    return check_node_name(where.removeprefix("node_")) if where.startswith("node_") else None


def check_node_name(name: object) -> str:
    """A name that a node of a cluster may have.

    Raises:
        TypeError: not text.
        TargetError: another text.
    """
    if not isinstance(name, str):
        raise TypeError(f"a node is named by text, for example 'web1', not {name!r}")
    if not _NODE_NAME.fullmatch(name):
        raise TargetError(
            f"{name!r} is not the name of a node: write up to 100 letters, digits, dots, dashes and underscores, "
            "a letter or a digit first"
        )
    return name


def _parse_who(text: str) -> Target:
    if text in ("", "worker", "mule", "spooler"):
        return Target(text, _kind(text or "worker"), "first")
    if text == "active-workers":
        return Target(text, "worker", "active")
    if text in ("workers", "mules", "spoolers"):
        return Target(text, _kind(text[:-1]), "all")
    if text.startswith("farm_") and len(text) > len("farm_"):
        return Target(text, "mule", "first", farm=text[len("farm_") :])
    numbered = _NUMBERED.fullmatch(text)
    if numbered is None:
        raise TargetError(f"{text!r} is not a target; write {_WORDS}; or, of a cluster, {_NODE_WORDS}")
    return _numbered(text, numbered[1], int(numbered[2]))


def _numbered(text: str, word: str, number: int) -> Target:
    if word == "farm" and number:
        return Target(text, "mule", "first", farm=number)
    if number and word != "farm":
        return Target(text, _kind(word), "one", number)
    if word in ("worker", "mule"):
        return Target(text, _kind(word), "first")
    raise TargetError(f"{text!r} is not a target: {word}s are numbered from 1")


def parse_fixed(text: str) -> Target:
    """Read a target that names fixed processes; of a farm, all its members.

    Raises:
        TargetError: not a target, or one that means the first available process.
    """
    target = parse(text)
    if target.node is not None:
        raise TargetError(f"{text!r} is a target of signals and tasks: name processes of this master here")
    if not target.fixed:
        raise TargetError(
            f"{text!r} means whichever {target.kind} is available first; "
            f"name fixed ones, for example '{target.kind}s' or '{target.kind}1'"
        )
    return target


def check_here(target: Target) -> None:
    """Refuse a target in the cluster.

    Raises:
        TargetError: it is one.
    """
    if target.node is not None:
        raise TargetError(f"target {target.text!r} needs a cluster: open the master with cluster=")


def check_in_cluster(signum: int, target: Target | None) -> None:
    """Refuse a unique source of a signal that is not for the cluster.

    Args:
        signum: the signal.
        target: of its handler; None if there is none.

    Raises:
        TargetError: the target is not in the cluster.
    """
    if target is None or target.node is None:
        raise TargetError(
            f"unique=True needs a handler in the cluster: register signal {signum} with a target such as 'cluster'"
        )


def _kind(word: str) -> Kind:
    return next(kind for kind in CHILD_KINDS if kind == word)


def _count(word: str, value: object) -> None:
    if type(value) is not int:
        raise TypeError(f"{word} is a count of processes, not {value!r}")
    if value < 0:
        raise ValueError(f"{word} is a count of processes, 0 or more, not {value}")


def _have(count: int, kind: str) -> str:
    if not count:
        return f"there are no {kind}s"
    return f"there is only {kind}1" if count == 1 else f"there are only {kind}1 to {kind}{count}"
