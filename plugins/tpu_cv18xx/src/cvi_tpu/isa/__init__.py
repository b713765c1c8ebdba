"""The instruction set: typed instructions, and the tables that give them bits."""
