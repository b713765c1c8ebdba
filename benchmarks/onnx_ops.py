"""Runs the node tests of the `onnx` package through our importer; writes docs/onnx-ops.md.

    python benchmarks/onnx_ops.py [--check]

A test passes "on data" when its data are network inputs and the imported graph, run by
the reference meaning of our ops, gives the expected outputs; "on constants" when every
operand is known, as in shape arithmetic, and the importer computes the expected outputs.
Operands that only describe the op (shapes, axes, weights of convolutions) are constants in
both. With --check nothing is written; the exit code says whether the page is up to date.
"""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper

from cvi.errors import InputError, UnsupportedError
from cvi.execute import evaluate
from cvi.ir import Array, Graph
from cvi_frontend_onnx.importer import Importer
from cvi_frontend_onnx.registry import Converter, built_in

PAGE = Path(__file__).resolve().parents[1] / "docs" / "onnx-ops.md"

DATA, CONSTANTS, REFUSED, FAILED = "data", "constants", "refused", "failed"

_ARITHMETIC = ["Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Concat", "MatMul"]
_LOGIC = ["Equal", "Less", "Greater", "And", "Or", "Xor", "Where"]
_ALL_DATA = frozenset(_ARITHMETIC + _LOGIC)
"""Ops whose operands are all data; of the others only the first one is."""

OLDEST = 7
_HALF = ("float16", "bfloat16")


@dataclass(frozen=True)
class Outcome:
    """How one node test went. reason: why it was refused or failed."""

    op: str
    test: str
    status: str
    reason: str = ""


def node_tests() -> Iterator[Any]:
    """The tests of single nodes that come with onnx."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases()
    for case in cases:
        model = case.model
        if model is not None and len(model.graph.node) == 1 and not model.functions:
            yield case


def run_test(case: Any, converters: Mapping[str, Converter]) -> Outcome:
    """One node test: on data if possible, else on constants."""
    node = case.model.graph.node[0]
    op = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    reasons = []
    for status in (DATA, CONSTANTS):
        for inputs, expected in case.data_sets:
            try:
                wrong = _compare(case.model, inputs, expected, converters, status == DATA)
            except (UnsupportedError, InputError) as refusal:
                reasons.append(_reason(refusal))
                break
            except Exception as error:
                return Outcome(op, case.name, FAILED, f"{type(error).__name__}: {error}")
            if wrong:
                return Outcome(op, case.name, FAILED, wrong)
        else:
            return Outcome(op, case.name, status, next(iter(reasons), ""))
    return Outcome(op, case.name, REFUSED, reasons[0])


def _reason(error: UnsupportedError | InputError) -> str:
    if isinstance(error, UnsupportedError) and error.problems:
        return error.problems[0].rpartition("': ")[2]
    return error.why


def _compare(
    model: ModelProto,
    inputs: Sequence[Any],
    expected: Sequence[Any],
    converters: Mapping[str, Converter],
    on_data: bool,
) -> str:
    """What is wrong with the result, "" when it is right."""
    inputs, expected = [_array(a) for a in inputs], [_array(a) for a in expected]
    if any(not info.type.HasField("tensor_type") for info in model.graph.input):
        raise UnsupportedError("sequences and optional values")
    node = model.graph.node[0]
    names = [name for name in node.input if name]
    data = set(names if node.op_type in _ALL_DATA else names[:1]) if on_data else set()
    bound, feeds = _bind(model, dict(zip(_inputs(model), inputs, strict=True)), data)
    results = _results(bound, feeds, converters)
    for info, want in zip(model.graph.output, expected, strict=True):
        wrong = _difference(results[info.name], want)
        if wrong:
            return f"{info.name}: {wrong}"
    return ""


def _array(value: Any) -> Array:
    """An operand of a test, however the test gives it."""
    if isinstance(value, onnx.TensorProto):
        return np.asarray(numpy_helper.to_array(value))
    if not isinstance(value, np.ndarray | np.generic):
        raise UnsupportedError("sequences and optional values")
    return np.asarray(value)


def _inputs(model: ModelProto) -> list[str]:
    return [info.name for info in model.graph.input]


def _bind(
    model: ModelProto, inputs: Mapping[str, Array], data: set[str]
) -> tuple[ModelProto, dict[str, Array]]:
    """The model with every input that is no data made an initialiser."""
    bound = onnx.ModelProto()
    bound.CopyFrom(model)
    for opset in bound.opset_import:
        if not opset.domain:
            opset.version = max(opset.version, OLDEST)  # the test says since when, not how long
    if any(not inputs[name].size for name in data):
        raise UnsupportedError("empty tensors")
    del bound.graph.input[:]
    for info in model.graph.input:
        if info.name in data:
            copy = bound.graph.input.add()
            copy.CopyFrom(info)
            shape = copy.type.tensor_type.shape
            del shape.dim[:]
            for size in inputs[info.name].shape:
                shape.dim.add().dim_value = size
        else:
            tensor = numpy_helper.from_array(np.asarray(inputs[info.name]), info.name)
            bound.graph.initializer.append(tensor)
    return bound, {name: inputs[name] for name in data}


def _results(
    model: ModelProto, feeds: Mapping[str, Array], converters: Mapping[str, Converter]
) -> dict[str, Array]:
    importer = Importer(model, converters, name="node", folder=Path())
    names = [info.name for info in model.graph.output]
    try:
        graph = importer.run()
    except UnsupportedError:
        known = {name: value.array for name, value in importer.values.items()}
        constants = {name: array for name in names if (array := known.get(name)) is not None}
        if len(constants) < len(names) or feeds or importer.problems:
            raise
        return constants
    return _evaluated(graph, {k: v.astype(np.float32) for k, v in feeds.items()}, importer, names)


def _evaluated(
    graph: Graph, feeds: Mapping[str, Array], importer: Importer, names: Iterable[str]
) -> dict[str, Array]:
    layers = {name: importer.values[name].name for name in names}
    with np.errstate(all="ignore"):
        found = evaluate(graph, feeds, outputs=list(dict.fromkeys(layers.values())))
    return {name: found[layer] for name, layer in layers.items()}


def _difference(got: Array, want: Array) -> str:
    if got.shape != want.shape:
        return f"shape {got.shape} instead of {want.shape}"
    half = any(str(a.dtype) in _HALF for a in (got, want))
    if want.dtype.kind in "iub" and got.dtype.kind in "iub":
        return "" if np.array_equal(got, want) else "integers differ"
    a, b = got.astype(np.float64), want.astype(np.float64)
    rtol, atol = (2e-2, 1e-3) if half else (1e-3, 1e-5)
    if np.allclose(a, b, rtol, atol, equal_nan=True):
        return ""
    return f"differs by {np.nanmax(np.abs(a - b)):.3g}"


# -- the page -------------------------------------------------------------------


def page(outcomes: Sequence[Outcome]) -> str:
    """The generated documentation page."""
    by_op: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_op[outcome.op].append(outcome)
    for op in built_in():
        by_op.setdefault(op, [])
    known = {op: tests for op, tests in by_op.items() if op in built_in()}
    others = sorted(set(by_op) - set(known))
    counts = Counter(o.status for tests in known.values() for o in tests)
    lines = [
        "# ONNX ops",
        "",
        "Generated by `python benchmarks/onnx_ops.py`; do not edit.",
        "",
        f"Opsets 7 to {onnx.defs.onnx_opset_version()}, checked with the node tests of onnx "
        f"{onnx.__version__}. *On data*: the op works on what flows through the network. *On "
        "constants*: it is computed at import, as in shape arithmetic. Everything is float; "
        "integer and boolean data are only moved, cast to float, or used as indices into constant "
        "tables.",
        "",
        f"Of the {sum(counts.values())} tests of imported ops {counts[DATA]} pass on data, "
        f"{counts[CONSTANTS]} on constants, {counts[REFUSED]} are refused by name, "
        f"{counts[FAILED]} fail.",
        "",
        "| op | tests | on data | on constants | refused | failed | not supported |",
        "|---|---|---|---|---|---|---|",
        *(_row(op, known[op]) for op in sorted(known)),
        "",
        "## Not imported",
        "",
        "These ops have node tests but no converter; a model that needs one of them is refused "
        "by name. A plugin can add them (`cvi_register_converters`).",
        "",
        ", ".join(others) + ".",
        "",
    ]
    return "\n".join(lines)


def _row(op: str, tests: Sequence[Outcome]) -> str:
    counts = Counter(o.status for o in tests)
    reasons = dict.fromkeys(_generic(o.reason) for o in tests if o.reason)
    cells = [op, len(tests), *(counts[s] for s in (DATA, CONSTANTS, REFUSED, FAILED))]
    return "| " + " | ".join([*map(str, cells), "; ".join(reasons)]) + " |"


def _generic(reason: str) -> str:
    """A reason without the sizes of one test."""
    reason = re.sub(
        r"computes with data of type \w+;.*", "arithmetic on data that is not float", reason
    )
    return re.sub(r"^on data of type.*", "arithmetic on data that is not float", reason)


def outcomes() -> list[Outcome]:
    """All node tests that come with onnx."""
    return [run_test(case, built_in()) for case in node_tests()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the page, write nothing")
    arguments = parser.parse_args()
    found = outcomes()
    imported = [o for o in found if o.op in built_in()]
    for outcome in imported:
        if outcome.status == FAILED:
            print(f"FAILED {outcome.test}: {outcome.reason}", file=sys.stderr)
    text = page(found)
    if not arguments.check:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text)
    stale = arguments.check and PAGE.read_text() != text
    return int(stale or any(o.status == FAILED for o in imported))


if __name__ == "__main__":
    sys.exit(main())
