"""The functions of the module `uwsgi`, by topic, with uWSGI's signatures: positional, and with its return values."""
