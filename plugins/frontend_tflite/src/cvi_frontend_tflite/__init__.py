"""The TFLite frontend of cvi."""
