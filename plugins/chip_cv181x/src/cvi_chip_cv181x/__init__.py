"""The CV181x: its numbers."""
