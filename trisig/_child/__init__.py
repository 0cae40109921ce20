"""What runs in a child, and never in the master."""
