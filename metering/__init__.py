"""The ground floor: arithmetic. No network, no clock, no Redis, no SQL."""
