"""How the tables came to be: numbered steps, each named for its purpose, forward only."""
