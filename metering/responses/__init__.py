"""Responses: the fields of a call, its input and its tools, the usage and the reply."""
