"""What a call costs: CPU time, beside a bare pass-through and other gateways in the same run."""
