"""On the path of attached programs, for one module."""
