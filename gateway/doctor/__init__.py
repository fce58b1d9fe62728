"""What `gateway doctor` looks at: the stores, the prices, the upstream, and their settings."""
