"""Completions of the older kind: the fields of a call and its reply."""
