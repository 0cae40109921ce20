"""What an application writes."""
