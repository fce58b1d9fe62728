"""Embeddings: the fields of a call, its input and the usage of the reply."""
