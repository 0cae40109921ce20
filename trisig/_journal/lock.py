"""Who may put a journal in its place, and how it stays there.

A journal is never changed by the next master. That reads it, makes another one with what was pending, and renames the
new one over it. While it is made the new file is called PATH.trisig-lock, and whoever holds the lock on the file of
that name may publish it. So one lock orders all who open one path, the first of them too, who find nothing there.

A published journal keeps that name beside its own until its master ends in order. If somebody removes or renames the
journal, the lock still keeps other masters out, and the file is not lost: it can be linked back into its place, by its
master or by the next one.

The lock belongs to the open file: the master's children inherit it, and it ends with the last process of the tree. So
no successor reads marks that a dying child still writes.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
from contextlib import suppress
from pathlib import Path

import trio

from trisig._model.errors import JournalError, reworded

from .layout import PUBLISHED, REPAIRED

log = logging.getLogger("trisig")

_MARK = b"\1\0\0\0\xfe\xff\xff\xff"  # a sealed 1


def grow_again(fd: int, identity: tuple[int, int], size: int) -> bool:
    """See `JournalLock.grow_again`; `identity` is the file's device and inode."""
    try:
        found = os.fstat(fd)
        # In a child that closed the descriptor it may be another file's by now.
        if (found.st_dev, found.st_ino) != identity or found.st_size >= size:
            return False
        os.posix_fallocate(fd, 0, size)
        os.pwrite(fd, b"\1", REPAIRED)
    except OSError:
        return False
    return True


class JournalLock:
    """The right to replace the file at a path.

    Attributes:
        path: where the file will be once it is published.
        name: the file's other name, which holds the lock.
        fd: the file. A killed master may have left something in it that was never published.
        published: whether it has taken its place.

    Raises:
        trio.BusyResourceError: another process holds the lock.
        JournalError: the file at `path` has taken the place of a journal that is still there, or something that is no
            file has the other name.
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = lock_name(path)
        self._passing = path.with_name(path.name + ".trisig-new")  # a name for one rename
        self.published = False
        while True:
            self.fd = self._open()
            try:
                if self._is_named(self.name) and not self._hand_over():
                    found = os.fstat(self.fd)
                    self._identity = found.st_dev, found.st_ino
                    return
            except BaseException:
                os.close(self.fd)
                raise
            # Published, handed over or removed after it was opened here: the name stands for another file now, or none.
            os.close(self.fd)

    def _open(self) -> int:
        try:
            # Not blocking: a named pipe would wait for a reader.
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            fd = os.open(self.name, flags, 0o600)
        except OSError as error:
            raise journal_unusable(self.path, error) from None
        try:
            is_file, is_ours = stat.S_ISREG(os.fstat(fd).st_mode), try_lock(fd)
        except BaseException:
            os.close(fd)
            raise
        if is_file and is_ours:
            return fd
        os.close(fd)
        if is_file:
            raise journal_in_use(self.path)
        raise JournalError(f"journal {self.path}: {self.name} is not a regular file; remove it")

    def _is_named(self, name: Path) -> bool:
        try:
            return os.path.samestat(os.fstat(self.fd), name.lstat())
        except OSError:
            return False

    def _hand_over(self) -> bool:
        """Leave a journal that a killed master has published to its own name, and take the name of the lock from it.

        Returns:
            Whether the file was one; then it is not ours to write.
        """
        if not is_published(self.fd):
            return False
        if self._is_named(self._passing):  # killed before it took its place: what is there goes on to count
            if not self._is_named(self.path):
                return False
        elif not self.path.exists():
            if not self._link(self.name, self.path):
                self.name.rename(self.path)
            log.warning("journal %s: the file had been removed or renamed; it is back in its place", self.path)
        elif not self._is_named(self.path):
            raise JournalError(
                f"journal {self.path}: another file has taken its place, and what is pending is in {self.name}; "
                "remove one of the two, or rename the second to the first"
            )
        self.name.unlink(missing_ok=True)
        return True

    def publish(self) -> None:
        """Put the file in its place.

        Raises:
            OSError: the place cannot be taken.
        """
        try:
            self._passing.unlink(missing_ok=True)  # of a killed master
            if self._link(self.name, self._passing):
                # After the link, before the rename: a marked file without this third name is a journal in its place.
                self.mark_published()
                self._passing.rename(self.path)
            else:
                self.name.rename(self.path)  # at once: the name of the lock must not be free before the place is taken
                self.mark_published()
        except OSError as error:
            with suppress(OSError):
                self._passing.unlink(missing_ok=True)
            if self._passing.is_dir():
                raise reworded(error, f"journal {self.path}: {self._passing} is a directory: remove it") from None
            raise _unpublishable(self.path, error) from None
        self.published = True

    def mark_published(self) -> None:
        """Say in the file that it is a journal, whatever name it has."""
        os.pwrite(self.fd, _MARK, PUBLISHED)

    def is_in_place(self) -> bool:
        """Whether the file has both of its names."""
        return self._is_named(self.path) and self._is_named(self.name)

    def put_back(self) -> bool:
        """Give the file the names back that somebody has taken from it.

        Returns:
            Whether it is in its place.

        Raises:
            OSError: a name cannot be given.
        """
        names = (self.path, self.name)
        own = next(filter(self._is_named, names), Path(f"/proc/self/fd/{self.fd}"))
        for name in names:
            if not self._is_named(name):
                with suppress(FileExistsError):  # another file: it is not ours to remove
                    os.link(own, name, follow_symlinks=True)
        return self._is_named(self.path)

    def _link(self, existing: Path, name: Path) -> bool:
        """Give the file another name; whether its file system can."""
        try:
            name.hardlink_to(existing)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            return False
        return True

    def grow_again(self, size: int) -> bool:
        """Give the file a size back that somebody has taken from it, and leave word of it in the file.

        Returns:
            Whether it had to be done, and was.
        """
        return grow_again(self.fd, self._identity, size)

    def close(self) -> None:
        """Let go of the file, and remove it if it was not published."""
        try:
            # A journal that lost its place has only this name left, and keeps it for the next master.
            if self._is_named(self.name) and (not self.published or self._is_named(self.path)):
                self.name.unlink()
            if self._is_named(self._passing):
                self._passing.unlink()
            # Explicitly: a process that a handler has forked may hold a copy of the descriptor.
            fcntl.flock(self.fd, fcntl.LOCK_UN)
        finally:
            os.close(self.fd)


def lock_name(path: Path) -> Path:
    """The name that a journal has while it is made, and beside its own one later."""
    return path.with_name(path.name + ".trisig-lock")


def is_published(fd: int) -> bool:
    """Whether a file is a journal that took its place, or was about to."""
    return os.pread(fd, len(_MARK), PUBLISHED) == _MARK


def try_lock(fd: int) -> bool:
    """Lock a file, unless another process has."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def journal_in_use(path: Path) -> trio.BusyResourceError:
    """The error of a second master."""
    return trio.BusyResourceError(f"journal {path}: another master is using it; stop that one, or name another file")


def journal_unusable(path: Path, error: OSError) -> OSError:
    """The error of a journal that cannot be read or made, with what to do about it."""
    if error.errno == errno.ENOENT:
        return reworded(error, f"journal {path}: there is no directory {path.parent}; make it, or name another path")
    return reworded(error, f"journal {path}: {error.strerror}; {_remedy(path, error)}")


def _remedy(path: Path, error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"let this user read and write it, and make files in {path.parent}, or name another path"
    if error.errno == errno.EROFS:
        return "name a path on a file system that can be written"
    return "name another path"


def _unpublishable(path: Path, error: OSError) -> OSError:
    """The error of a journal that cannot take its place."""
    if error.errno in (errno.EBUSY, errno.EXDEV):
        return reworded(
            error,
            f"journal {path}: {error.strerror}: the file is a mount point, and a journal is replaced by a rename; "
            "mount its directory instead, or name another path",
        )
    return journal_unusable(path, error)


def no_room(path: Path, error: OSError, needed: int, *, published: bool) -> OSError:
    """The error of a journal for which the disk has no room.

    Args:
        path: of the journal.
        error: what the kernel said.
        needed: bytes that the file has to have.
        published: whether the journal is in its place, and the one before it gone.
    """
    advice = "" if published else " beside the one that it takes the place of: make room for both, or name another path"
    return reworded(error, f"journal {path}: {error.strerror}: it needs {needed} bytes{advice}")
