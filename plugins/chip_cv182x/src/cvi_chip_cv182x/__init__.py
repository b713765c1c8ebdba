"""The CV182x: its numbers."""
