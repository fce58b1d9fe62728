"""Calls that make pictures: their fields, what they may use, and what their replies say."""
