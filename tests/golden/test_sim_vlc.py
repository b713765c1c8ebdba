"""The weight codec against streams that the vendor's encoder made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cvi.errors import RunnerError
from cvi_tpu.sim import vlc, vlc_encode


@pytest.mark.parametrize("kind", ["i8", "u8", "bf16"])
def test_streams_of_the_vendor(shared: Path, kind: str) -> None:
    with np.load(shared / "golden" / "vlc.npz") as archive:
        plain, stream = archive[f"{kind}_plain"], archive[f"{kind}_stream"]
    head = vlc.header(stream)
    assert (head.bf16, head.signed) == (kind == "bf16", kind == "i8")
    assert vlc.stream_bytes(head, plain.size) == stream.size
    decoded = vlc.decode(stream, plain.size)
    assert decoded.dtype == plain.dtype
    np.testing.assert_array_equal(decoded, plain)


@pytest.mark.parametrize("kind", ["i8", "u8", "bf16"])
def test_the_same_streams(shared: Path, kind: str) -> None:
    with np.load(shared / "golden" / "vlc.npz") as archive:
        plain, stream = archive[f"{kind}_plain"], archive[f"{kind}_stream"]
    np.testing.assert_array_equal(vlc_encode.encode(plain, vlc.header(stream)), stream)


@pytest.mark.parametrize("kind", ["i8", "u8", "bf16"])
def test_broken_streams_are_refused_or_decoded(shared: Path, kind: str) -> None:
    with np.load(shared / "golden" / "vlc.npz") as archive:
        plain, stream = archive[f"{kind}_plain"], archive[f"{kind}_stream"]
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        broken = stream.copy()
        broken[random.integers(16, broken.size, 4)] = random.integers(0, 256, 4)
        try:
            assert vlc.decode(broken, plain.size).shape == plain.shape
        except RunnerError:
            refused += 1
    assert refused > 0
