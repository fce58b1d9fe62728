"""Buying credits: the seam to a payment provider, what fills it, and what is done with it."""
