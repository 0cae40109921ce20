"""Masters with another patience for processes that fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from unittest.mock import patch

from trisig._master import children
from trisig._master.keeper import Keeper
from trisig._master.restart import RestartPolicy
from trisig._util.backoff import Backoff

NO_PAUSE = Backoff(0.0, 0.0, steady=1.0)


@contextmanager
def restarting(policy: RestartPolicy) -> Iterator[None]:
    """Masters that are opened in this block replace their processes by this policy."""
    with patch.object(children, "Keeper", partial(Keeper, policy=policy)):
        yield
