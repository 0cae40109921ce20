"""uWSGI's options: read as uWSGI reads them, and what they mean here. Starts nothing."""
