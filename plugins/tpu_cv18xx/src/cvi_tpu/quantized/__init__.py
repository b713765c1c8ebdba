"""The INT8 floor: quantised ops whose numpy reference is the hardware's arithmetic."""
