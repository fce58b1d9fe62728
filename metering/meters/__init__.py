"""One file per endpoint family: what a call can use at most, and what it really used."""
