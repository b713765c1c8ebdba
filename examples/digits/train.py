#!/usr/bin/env python3
"""Trains the example's digit classifier and writes everything that lies beside this file.

    pip install torch scikit-learn opencv-python-headless onnx
    python train.py

Data: the 1,797 handwritten digits that ship with scikit-learn (8x8 pixels, 17 gray
levels), enlarged to 32x32 8-bit PNG images. Every fifth image is for testing, the others
are for training; 100 of the training images are for calibration. The seed is fixed.

Writes digits.onnx, calibration/*.png, test/*.png and test/labels.txt ("file class").
"""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

HERE = Path(__file__).parent
SEED = 20261123
SIZE = 32
EPOCHS = 40
CALIBRATION = 100


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Depthwise 3x3 and pointwise convolution, each with batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Residual(nn.Module):
    """x + conv(x), then ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.conv(x))


def network() -> nn.Sequential:
    """1x32x32 gray image in 0..1 to ten probabilities."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        block(16, 32),
        nn.MaxPool2d(2),
        Residual(32),
        block(32, 48, stride=2),
        Residual(48),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(48, 10),
    )


def images() -> tuple[np.ndarray, np.ndarray]:
    """All digits as uint8 [N, 32, 32], and their classes."""
    data = load_digits()
    small = np.clip(data.images * (255 / 16), 0, 255).astype(np.uint8)
    large = [cv2.resize(x, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) for x in small]
    return np.stack(large), data.target


def shifted(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The batch moved by up to three pixels: a little augmentation."""
    dy, dx = torch.randint(-3, 4, (2,), generator=generator).tolist()
    return torch.roll(x, (dy, dx), (2, 3))


def train(x: torch.Tensor, y: torch.Tensor) -> nn.Sequential:
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    model = network().train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=1e-2)
    steps = EPOCHS * -(-len(x) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 8e-3, steps)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x), generator=generator).split(64):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(model(shifted(x[batch], generator)), y[batch])
            loss.backward()
            optimiser.step()
            schedule.step()
    return model.eval()


def write_images(folder: Path, pictures: np.ndarray, indices: np.ndarray) -> list[str]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    names = [f"digit_{i:04d}.png" for i in indices]
    for name, index in zip(names, indices, strict=True):
        cv2.imwrite(str(folder / name), pictures[index])
    return names


def main() -> None:
    torch.use_deterministic_algorithms(True)
    pictures, classes = images()
    everything = np.arange(len(pictures))
    test, training = everything[::5], np.setdiff1d(everything, everything[::5])
    x = torch.from_numpy(pictures).float()[:, None] / 255
    y = torch.from_numpy(classes)
    model = train(x[training], y[training])
    with torch.no_grad():
        right = (model(x[test]).argmax(1) == y[test]).float().mean().item()
    print(f"top-1 on {len(test)} test images: {100 * right:.2f} %")
    torch.onnx.export(
        nn.Sequential(model, nn.Softmax(1)),
        (x[:1],),
        str(HERE / "digits.onnx"),
        input_names=["image"],
        output_names=["probabilities"],
        opset_version=13,
        dynamo=False,
    )
    write_images(
        HERE / "calibration", pictures, training[:: len(training) // CALIBRATION][:CALIBRATION]
    )
    names = write_images(HERE / "test", pictures, test)
    lines = [f"{name} {classes[index]}" for name, index in zip(names, test, strict=True)]
    (HERE / "test" / "labels.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
