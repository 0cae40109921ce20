"""The module `uwsgi` in a process that trisig did not start."""
