"""From a quantised graph to the instructions and memory of a program file."""
