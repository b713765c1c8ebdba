"""Networks run by OpenCV's DNN module, every layer as it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

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

    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        net = cv2.dnn.readNetFromCaffe(_buffer(text), _buffer(weights))
        net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
        net.enableFusion(False)
        net.enableWinograd(False)
        for blob, array in inputs.items():
            net.setInput(np.ascontiguousarray(array, np.float32), blob)
        known = _known(set(net.getLayerNames()), layers)
        results = net.forwardAndRetrieve(list(known.values())) if known else []
    except cv2.error as error:
        raise Refused(_reason(str(error))) from error
    finally:
        cv2.utils.logging.setLogLevel(level)
    return {
        name: [np.array(array) for array in arrays]
        for name, arrays in zip(known, results, strict=True)
    }


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
