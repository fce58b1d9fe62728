"""What a business sees of itself."""
