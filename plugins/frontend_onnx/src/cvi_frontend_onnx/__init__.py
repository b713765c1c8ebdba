"""ONNX for cvi: importer, exporter and onnxruntime executor."""
