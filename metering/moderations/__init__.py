"""Moderations: the fields of a call and its reply; nothing of it is billed."""
