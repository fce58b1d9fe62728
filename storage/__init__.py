"""The middle floor: where balances and records are kept."""
