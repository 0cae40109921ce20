"""Durable jobs: files in a directory, in the format of uWSGI's spooler."""
