"""Realtime sessions: what a client may send, and what OpenAI says it used."""
