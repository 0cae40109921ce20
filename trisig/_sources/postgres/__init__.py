"""The connection behind `trisig.postgres`."""
