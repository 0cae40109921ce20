"""A cluster whose nodes meet in a PostgreSQL database."""
