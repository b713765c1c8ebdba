"""BF16 functions by tables against floats: the bounds of FACTS_TPU 7.1 and 7.2 and better."""

from __future__ import annotations

import numpy as np
import pytest
from small_nets import BareChip, network

from cvi import ops
from cvi.execute import evaluate
from cvi.ir import Array
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.bf16_tables import lines, logarithm, power
from cvi_tpu.quantized.scheme import Bf16Scheme

LINE = np.linspace(-40, 40, 20001).astype(np.float32)
SCALES = np.geomspace(1e-30, 1e30, 20001).astype(np.float32)


def both(op: ops.Unary, x: Array) -> tuple[Array, Array, Array]:
    """Numbers that BF16 has, what the BF16 graph makes of them, and the function itself."""
    graph = network(op, inputs={"x": (1, 1, 1, x.size)})
    quantised = Bf16Scheme().quantize(graph, None, None, BareChip())
    stored = bf16.encode(x).reshape(1, 1, 1, -1)
    y = evaluate(quantised, {"x": stored})[quantised.outputs[0]]
    assert y.dtype == np.float32
    real = bf16.decode(stored).astype(np.float64)
    with np.errstate(all="ignore"):
        return real, y.astype(np.float64), np.asarray(op.function(real))


@pytest.mark.parametrize(
    ("op", "bound"),
    [
        (ops.Sigmoid(name="y", inputs=("x",)), 0.0042),
        (ops.Sigmoid(name="y", inputs=("x",), scale=3.0, bias=-1.0), 0.012),
        (ops.Tanh(name="y", inputs=("x",)), 0.0045),
        (ops.Erf(name="y", inputs=("x",)), 0.0045),
        (ops.Elu(name="y", inputs=("x",), alpha=1.0), 0.0045),
        (ops.HardSigmoid(name="y", inputs=("x",)), 0.0045),
    ],
)
def test_limited_functions(op: ops.Unary, bound: float) -> None:
    x, y, want = both(op, LINE)
    below = x < 5 if isinstance(op, ops.Elu) else np.isfinite(x)
    assert np.abs(y - want)[below].max() < bound


@pytest.mark.parametrize(
    "op",
    [
        ops.Swish(name="y", inputs=("x",)),
        ops.Mish(name="y", inputs=("x",)),
        ops.Gelu(name="y", inputs=("x",)),
        ops.Gelu(name="y", inputs=("x",), approximate=True),
        ops.Softplus(name="y", inputs=("x",)),
    ],
)
def test_functions_that_grow(op: ops.Unary) -> None:
    _, y, want = both(op, LINE)
    assert (np.abs(y - want) / (np.abs(want) + 0.01)).max() < 0.011


@pytest.mark.parametrize(
    ("op", "x", "bound"),
    [
        (ops.Exp(name="y", inputs=("x",)), LINE[np.abs(LINE) < 15.5], 0.012),
        (ops.Reciprocal(name="y", inputs=("x",)), SCALES, 0.0039),
        (ops.Reciprocal(name="y", inputs=("x",)), -SCALES, 0.0039),
        (ops.Sqrt(name="y", inputs=("x",)), SCALES, 0.0039),
        (ops.Pow(name="y", inputs=("x",), exponent=-0.5), SCALES, 0.0039),
        (ops.Pow(name="y", inputs=("x",), exponent=2.0), LINE, 0.0039),
        (ops.Pow(name="y", inputs=("x",), exponent=3.0), LINE, 0.006),
        (ops.Pow(name="y", inputs=("x",), exponent=1.7), SCALES[7000:13000], 0.008),
        (ops.LeakyRelu(name="y", inputs=("x",), slope=0.3), LINE, 0.0078),
        (ops.LeakyRelu(name="y", inputs=("x",), slope=1.5), LINE, 0.0039),
    ],
)
def test_relative_errors(op: ops.Unary, x: Array, bound: float) -> None:
    real, y, want = both(op, x)
    here = np.abs(real) > 2.0**-124
    assert (np.abs(y - want)[here] / np.abs(want)[here]).max() < bound


def test_logarithm() -> None:
    _, y, want = both(ops.Log(name="y", inputs=("x",)), SCALES)
    assert (np.abs(y - want) / np.maximum(np.abs(want), 0.7)).max() < 0.009
    _, y, _ = both(ops.Log(name="y", inputs=("x",)), np.float32([0, -1, -1e30]))
    assert (y == float(bf16.decode(np.uint16([bf16.LOWEST]))[0])).all()


@pytest.mark.parametrize("kind", [ops.Abs, ops.Neg, ops.Relu])
def test_exact_functions(kind: type[ops.Unary]) -> None:
    _, y, want = both(kind(name="y", inputs=("x",)), LINE)
    assert np.array_equal(y, want)


def test_functions_are_exact_at_zero() -> None:
    for kind in (ops.Swish, ops.Mish, ops.Gelu, ops.Tanh, ops.Erf, ops.Elu, ops.HardSwish):
        _, y, _ = both(kind(name="y", inputs=("x",)), np.float32([0]))
        assert y.item() == 0, kind
    table = lines(np.exp, 16, below_zero=True, low=0.0)
    assert (table.base[128], table.base[0]) == (bf16.ONE, 0)


def test_powers_of_zero_and_of_negative_numbers() -> None:
    assert power(-1).upper[0] == power(-1).upper[128] == bf16.LARGEST
    assert power(0.5).upper[[0, 128, 255]].tolist() == [0, 0, 0]
    assert power(0.0).upper[[0, 128]].tolist() == [bf16.ONE, bf16.ONE]
    assert logarithm().upper[128:].tolist() == [bf16.LOWEST] * 128
