"""Gives up the rights of root, for good, before any code of the application runs."""

from __future__ import annotations

import grp
import os
import pwd

from trisig.uwsgi._config.problem import ConfigError


def become(user: str, group: str) -> None:
    """Change to a user and a group, by name or number; empty for no change.

    Raises:
        ConfigError: there is no such user or group, or this process may not become it.
    """
    uid, name, own_group = _user(user) if user else (-1, "", -1)
    gid = _group(group) if group else own_group
    try:
        if gid >= 0 and gid != os.getegid():
            os.setgid(gid)
        if uid >= 0 and uid != os.geteuid():
            if name:
                os.initgroups(name, os.getgid())
            os.setuid(uid)
    except PermissionError:
        raise ConfigError(
            f"uid = {user}, gid = {group}: only root may become another user; start this as root"
        ) from None


def _user(text: str) -> tuple[int, str, int]:
    try:
        found = pwd.getpwuid(int(text)) if text.isdecimal() else pwd.getpwnam(text)
    except KeyError:
        if text.isdecimal():
            return int(text), "", -1
        raise ConfigError(f"uid = {text}: there is no such user") from None
    return found.pw_uid, found.pw_name, found.pw_gid if not text.isdecimal() else -1


def _group(text: str) -> int:
    if text.isdecimal():
        return int(text)
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        raise ConfigError(f"gid = {text}: there is no such group") from None
