"""What a call costs: CPU time, beside a bare pass-through in the same run."""
