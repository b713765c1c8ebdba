"""What the TPUs of the CV18xx chips share: schemes, code generation, simulator, files."""
