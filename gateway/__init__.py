"""The top floor: speaks HTTP with businesses, admins and OpenAI."""

__version__ = "0.1.0"
