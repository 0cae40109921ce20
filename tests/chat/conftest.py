"""The chat's own modules, so that their pure parts can be tested."""

import sys

from chat_harness import EXAMPLE

sys.path.append(str(EXAMPLE))
