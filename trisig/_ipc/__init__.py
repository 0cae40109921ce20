"""What lies between two processes."""
