"""Calls with sound: speech that is made, sound that is written down, and how long they are."""
