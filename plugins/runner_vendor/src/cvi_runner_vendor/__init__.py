"""Runs a `.cvimodel` on the vendor's own runtime and simulator."""
