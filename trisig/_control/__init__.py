"""The control socket, both sides."""
