"""Networks that are defined here, and the proof that all networks of the guide work."""
