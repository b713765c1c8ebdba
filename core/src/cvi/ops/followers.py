"""Layers whose precision does not matter by itself."""

from __future__ import annotations

from cvi.ops.activation import Abs, Clip, LeakyRelu, Relu
from cvi.ops.pool import MaxPool2d

FOLLOWERS = (Abs, Clip, LeakyRelu, MaxPool2d, Relu)
"""Ops that choose among values or bound them: one in BF16 gains nothing among layers in INT8, and
one in INT8 between two layers in BF16 only harms. In a mixed network one that the plan does not
name follows these."""
