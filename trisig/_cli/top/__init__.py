"""`trisig top`: the status of a master, live. What needs rich is in `screen` and `live`."""
