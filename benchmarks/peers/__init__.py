"""Other gateways, to stand beside ours in one run: each in its own folder, never in our venv."""
