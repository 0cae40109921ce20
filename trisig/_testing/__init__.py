"""What runs an application in the process of its test."""
