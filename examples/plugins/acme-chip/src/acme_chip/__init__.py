"""The chip acme1: its numbers."""
