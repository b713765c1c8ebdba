"""The CV183x: its numbers and its descriptor layout."""
