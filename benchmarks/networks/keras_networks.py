"""Networks that Keras ships, with random weights; needs TensorFlow.

The moving statistics of every batch normalisation are set to those of a batch of noise, so
that activations neither grow nor vanish.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

SEED = 1
SIZE = 224


def efficientnet_b0(path: Path) -> None:
    """EfficientNet-B0 (Tan and Le 2019), which has its preprocessing inside."""
    from tensorflow import keras

    _save(keras.applications.EfficientNetB0, path, 255.0)


def nasnet_mobile(path: Path) -> None:
    """NASNet-A (4 @ 1056) (Zoph and others 2018)."""
    from tensorflow import keras

    _save(keras.applications.NASNetMobile, path, 1.0)


def _save(make: Any, path: Path, largest: float) -> None:
    """Make a network for images of 0..largest, and write it as a Keras file."""
    import numpy as np
    from tensorflow import keras

    keras.utils.set_random_seed(SEED)
    model = make(weights=None, input_shape=(SIZE, SIZE, 3))
    layers = [one for one in model.layers if isinstance(one, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    noise = np.random.default_rng(SEED).uniform(0, largest, (4, SIZE, SIZE, 3))
    model(noise.astype(np.float32), training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    model.save(path)
