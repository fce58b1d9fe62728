"""The admin API: what an operator does and sees. `routes.py` is its table."""
