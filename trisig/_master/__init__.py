"""The master: the only part that knows both ends."""
