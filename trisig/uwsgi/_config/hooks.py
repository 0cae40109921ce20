"""What is done at certain moments of an instance: `exec-pre-app`, `hook-as-user` and their kin."""

from __future__ import annotations

from dataclasses import dataclass

from .problem import ConfigError

# Each with what its argument looks like; the words before the last one have no spaces.
ACTIONS = {
    "exec": "<command>", "safeexec": "<command>", "cd": "<directory>", "chdir": "<directory>", "mkdir": "<directory>",
    "putenv": "<NAME=value>", "chmod": "<file> <octal mode>", "chown": "<file> <user> <group>",
    "chown2": "<file> <uid> <gid>", "sticky": "<file>", "create": "<file>", "creat": "<file>",
    "write": "<file> <text>", "writen": "<file> <text>", "append": "<file> <text>", "appendn": "<file> <text>",
    "unlink": "<file>", "print": "<text>", "log": "<text>", "unix_signal": "15 gracefully_kill_them_all",
}  # fmt: skip
_WAIT = "write exec:until [ -e FILE ]; do sleep 1; done"
_INSTEAD = {
    "exit": "leave it out",
    "wait_for_fs": _WAIT,
    "wait_for_file": _WAIT,
    "wait_for_dir": _WAIT,
    "wait_for_socket": "write exec: and a command that waits",
}


@dataclass(frozen=True, slots=True)
class Hook:
    """An action.

    Attributes:
        option: where it was written.
        action: one of `ACTIONS`.
        argument: of it.
    """

    option: str
    action: str
    argument: str

    def __str__(self) -> str:
        return f"{self.option} = {self.action}:{self.argument}"


def hook(name: str, value: str) -> Hook:
    """`hook-... = <action>:<argument>`, `exec-... = <command>`."""
    if name.startswith("exec-"):
        return _checked(name, "exec", value)
    action, colon, argument = value.strip().partition(":")
    if not colon:
        raise ConfigError(f"{name} = {value}: invalid hook syntax, must be hook:args, like {name} = exec:true")
    return _checked(name, action.removeprefix("!"), argument)


@dataclass(frozen=True, slots=True)
class TouchHook:
    """An action whenever a file is changed.

    Attributes:
        path: of the file.
        hook: the action.
    """

    path: str
    hook: Hook


def touch_hook(name: str, value: str) -> TouchHook:
    """`hook-touch = <file> <action>:<argument>`, `touch-exec = <file> <command>`."""
    path, space, rest = value.strip().partition(" ")
    if not space:
        raise ConfigError(f"{name} = {value}: write a file, a space, and what is to be done")
    return TouchHook(path, hook("exec-touch" if name == "touch-exec" else name, rest.strip()))


def _checked(name: str, action: str, argument: str) -> Hook:
    if action not in ACTIONS:
        instead = _INSTEAD.get(action, f"write one of {', '.join(ACTIONS)}")
        raise ConfigError(f"{name}: hook action not found: {action}; {instead}")
    form = ACTIONS[action]
    if action == "unix_signal":
        if argument.split() != form.split():
            raise ConfigError(f"{name}: unix_signal:{argument}: only {form} is served; it is so anyway")
    elif not argument.strip() or len(argument.split()) < len(form.replace("octal mode", "mode").split()):
        raise ConfigError(f"{name}: {action}:{argument}: write {action}:{form}")
    return Hook(name, action, argument)
