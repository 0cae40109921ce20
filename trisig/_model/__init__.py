"""What a signal is, where it goes, and how it is counted. Pure: no trio, no I/O, no clock."""
