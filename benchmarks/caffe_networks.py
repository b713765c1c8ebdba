"""Compares Caffe networks with OpenCV, layer by layer; prints a table.

    python benchmarks/caffe_networks.py [FILE.prototxt …]

Without files, all networks of shared/: real models with their weights, architectures with
random ones. For each: how many layers the simplified graph has, how many of them OpenCV can
show, the worst cosine of these, and what OpenCV cannot do. At last the classes that
SqueezeNet and OpenCV find in the 500 photographs of shared/images/imagenet_val500.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cvi import plugins
from cvi.errors import CviError
from cvi.execute import float_session, run_float
from cvi.hookspecs import ReferenceTensors
from cvi.ir import Array, Graph
from cvi.passes import simplify
from cvi_frontend_caffe.frontend import CaffeFrontend

SHARED = Path(__file__).resolve().parents[2] / "shared"
SEED = 1


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path)
    files = parser.parse_args().files
    warnings.simplefilter("ignore")
    print("| network | layers | compared | worst cosine | OpenCV cannot | s |")
    print("|---|---|---|---|---|---|")
    for path in files or networks():
        print(row(path), flush=True)
    if not files:
        print(f"\nSqueezeNet: {agreeing_classes()}")
    return 0


def networks() -> list[Path]:
    """All network descriptions of shared/."""
    return sorted(SHARED.glob("models/caffe/*/*.prototxt")) + sorted(
        SHARED.glob("prototxt/*.prototxt")
    )


def weights_of(path: Path) -> Path | None:
    """The weights beside a network: of its own name, or the only ones."""
    own = path.with_suffix(".caffemodel")
    found = [own] if own.is_file() else list(path.parent.glob("*.caffemodel"))
    return found[0] if len(found) == 1 else None


def row(path: Path) -> str:
    """One line of the table."""
    name, start = f"{path.parent.name}/{path.stem}", time.monotonic()
    weights = weights_of(path)
    frontend = CaffeFrontend(None if weights else SEED)
    try:
        graph = simplify(frontend.load(path, weights=weights, batch=1))
    except CviError as error:
        problems = "; ".join(getattr(error, "problems", ())) or error.why
        return f"| {name} | refused: {problems} | | | | |"
    inputs = {op.source: _normal(op.type.shape) for op in graph.inputs}
    shown = frontend.reference(path, inputs, weights=weights)
    cosines = dict(compared(graph, inputs, shown))
    worst = min(cosines, key=lambda name: cosines[name])
    missing = shown.missing if isinstance(shown, ReferenceTensors) else {}
    cannot = "; ".join(f"{why} ({n})" for why, n in Counter(missing.values()).most_common())
    layers = len(graph.ops) - len(graph.inputs)
    seconds = time.monotonic() - start
    place = f"{cosines[worst]:.7f} {worst}"
    return f"| {name} | {layers} | {len(cosines)} | {place} | {cannot} | {seconds:.0f} |"


def _normal(shape: Sequence[int]) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def compared(
    graph: Graph, inputs: dict[str, Array], shown: dict[str, Array]
) -> Iterator[tuple[str, float]]:
    """The cosine of every layer that OpenCV shows; lists of boxes are left out."""
    layers = [
        op
        for op in graph.ops
        if op.source in shown and op.source not in inputs and not op.incomparable
    ]
    given = {op.name: inputs[op.source] for op in graph.inputs}
    ours = run_float(graph, given, [op.name for op in layers], plugins.executors())
    for op in layers:
        a, b = (x.ravel().astype(np.float64) for x in (ours[op.name], shown[op.source]))
        norms = float(np.linalg.norm(a) * np.linalg.norm(b))
        yield op.name, float(a @ b) / norms if norms else float(np.array_equal(a, b))


def agreeing_classes() -> str:
    """On how many photographs both find the same class, and how often it is the right one."""
    import cv2

    folder, images = SHARED / "models/caffe/squeezenet_v1.1", SHARED / "images/imagenet_val500"
    net, weights = folder / "deploy.prototxt", folder / "squeezenet_v1.1.caffemodel"
    graph = simplify(CaffeFrontend().load(net, weights=weights, batch=1))
    session = float_session(graph, list(graph.outputs), plugins.executors())
    reference = cv2.dnn.readNetFromCaffe(str(net), str(weights))
    same = right = count = 0
    for line in (images / "labels.txt").read_text().splitlines():
        name, label = line.split()
        pixels = np.asarray(cv2.imread(str(images / name)), np.float32)
        x = (pixels - np.array([104, 117, 123], np.float32)).transpose(2, 0, 1)[None]
        reference.setInput(x)
        ours = int(session.run({"data": x})[graph.outputs[0]].argmax())
        same += ours == int(reference.forward().argmax())
        right += ours == int(label)
        count += 1
    return f"the same class on {same} of {count} photographs, the right one on {right}"


if __name__ == "__main__":
    sys.exit(main())
