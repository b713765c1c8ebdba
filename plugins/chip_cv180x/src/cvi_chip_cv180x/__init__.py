"""The CV180x: its numbers."""
