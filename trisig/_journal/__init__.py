"""What survives the death of the master."""
