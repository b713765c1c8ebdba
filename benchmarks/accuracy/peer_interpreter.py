"""Runs a network of the peer in the peer's interpreter; started in the peer's environment.

    python peer_interpreter.py NETWORK.mlir IMAGES.npy SCORES.npy

IMAGES: [count, *input shape]; SCORES: [count, *output shape], real numbers.
"""

from __future__ import annotations

import sys

import numpy as np
import pymlir  # type: ignore[import-not-found]


def run(network: str, images: str, scores: str) -> None:
    """Every image in turn through one loaded network."""
    pymlir.set_mem_mode("value_mem")
    module = pymlir.module()
    module.load(network)
    (name,) = module.input_names
    found = []
    for image in np.load(images):
        module.set_tensor(name, image, image.shape)
        module.invoke(True)
        tensors = module.get_all_tensor()
        found.append(np.array(tensors[module.output_names[0]]))
    np.save(scores, np.stack(found))


if __name__ == "__main__":
    run(*sys.argv[1:])
