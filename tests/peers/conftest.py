"""What tests share that run event sources on a real PostgreSQL."""

from postgres_server import server, template
from source_tools import engines

__all__ = ["engines", "server", "template"]  # fixtures
