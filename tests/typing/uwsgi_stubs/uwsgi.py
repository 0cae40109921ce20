"""Imported as `uwsgi` by stubtest: puts the module of `trisig uwsgi` in its own place."""

import atexit
import tempfile

from trisig.uwsgi._config.plan import read_plan
from trisig.uwsgi._start import prepare

atexit.register(prepare(read_plan([f"--spooler={tempfile.mkdtemp()}", "--mule"], {}), print).parts.store.close)
