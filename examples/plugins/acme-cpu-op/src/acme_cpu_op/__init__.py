"""The op acme.UnitMax: rows scaled to a greatest magnitude of 1."""
