"""Networks run by OpenCV's DNN module, every layer as it stands."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cvi.ir import Array


class Refused(Exception):
    """OpenCV cannot read or run a network; the text is its reason."""


def run_network(
    text: bytes, weights: bytes, inputs: Mapping[str, Array], layers: Mapping[str, Sequence[str]]
) -> dict[str, list[Array]]:
    """The results of the layers that OpenCV knows: layer -> one array per top.

    inputs: by blob. layers: name -> tops; OpenCV calls many layers by their first top. No
    layers are fused, and nothing but fp32 on the CPU is used.
    """
    import cv2

    try:
        net = cv2.dnn.readNetFromCaffe(_buffer(text), _buffer(weights))
        net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
        net.enableFusion(False)
        net.enableWinograd(False)
        for blob, array in inputs.items():
            net.setInput(np.ascontiguousarray(array, np.float32), blob)
        known = _known(set(net.getLayerNames()), layers)
        with _quiet():
            results = net.forwardAndRetrieve(list(known.values())) if known else []
    except cv2.error as error:
        raise Refused(_reason(str(error))) from error
    return {
        name: [np.array(array) for array in arrays]
        for name, arrays in zip(known, results, strict=True)
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep OpenCV from printing what it also raises; its older versions cannot be kept."""
    import cv2

    logging = getattr(cv2.utils, "logging", None)
    if logging is None:
        yield
        return
    level = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(level)


def _buffer(data: bytes) -> Array:
    return np.frombuffer(data or b"\0", np.uint8)


def _known(own: set[str], layers: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Layer -> OpenCV's name for it. It renames a layer to its top where that is free."""
    found = {}
    for name, tops in layers.items():
        if name in own:
            found[name] = name
        elif tops and tops[0] in own and tops[0] not in layers:
            found[name] = tops[0]
    return found


def _reason(text: str) -> str:
    """The first sentence of what OpenCV says, without its version and source lines."""
    line = " ".join(text.split()).partition("error: ")[2] or text
    plain = re.sub(r"^\(-?\d+:[^)]*\) |in function '[^']*'( > )?|, where >.*", "", line)
    return plain.strip()[:200]
