"""Lua for applications: a runtime, its table `uwsgi`, and handlers that are Lua functions."""
