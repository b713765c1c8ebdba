"""Anchors, boxes and what becomes of them."""

from __future__ import annotations

from cvi_frontend_caffe.layer import Layer
from cvi_frontend_caffe.registry import converts
from cvi_frontend_caffe.values import Value


@converts("Python")
def python(layer: Layer) -> Value:
    """Code that the file only names."""
    params = layer.params("python_param")
    layer.refuse(f"is Python code ({params.text('module')}.{params.text('layer')}), which never runs")
