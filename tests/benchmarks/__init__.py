"""Benchmarks: trisig and uWSGI side by side, trisig's growth, and what else a user may pick.

Every figure comes from a program of its own (`apps/`), started afresh for each round, so no round inherits
another one's caches or queues, and the two sides never run at the same time. Rounds alternate between the sides,
and the side that begins alternates too: a machine that becomes slower half-way slows both. What is compared is
therefore the ratio within a round; its median is the figure to look at.

Both sides share the handlers, the raisers' loops, the clock and the counters (`apps/work.py`). What a side lost
is what was raised and not handled when nothing had been handled for a second; what trisig lost is counted once
more after its orderly shutdown.
"""
