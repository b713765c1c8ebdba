"""Random weights: the same for one seed, and of a size that deep networks bear."""

from __future__ import annotations

import numpy as np
import pytest
from caffe_nets import Made, inputs_text, numbers, values

import cvi
from cvi.errors import InputError
from cvi_frontend_caffe.frontend import CaffeFrontend


def block(name: str, bottom: str, inner: str) -> str:
    """conv, BatchNorm, Scale and `inner` in place."""
    return (
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" '
        "convolution_param { num_output: 8 kernel_size: 3 pad: 1 bias_term: false } }\n"
        f'layer {{ name: "{name}_bn" type: "BatchNorm" bottom: "{name}" top: "{name}" }}\n'
        f'layer {{ name: "{name}_scale" type: "Scale" bottom: "{name}" top: "{name}" '
        "scale_param { bias_term: true } }\n"
        f'layer {{ name: "{name}_act" type: "{inner}" bottom: "{name}" top: "{name}" }}\n'
    )


def deep(layers: int, inner: str, *, residual: bool) -> str:
    text, bottom = inputs_text({"data": (1, 8, 12, 12)}), "data"
    for i in range(layers):
        text += block(f"c{i}", bottom, inner)
        bottom = f"c{i}"
        if residual and i:
            text += (
                f'layer {{ name: "sum{i}" type: "Eltwise" bottom: "c{i}" '
                f'bottom: "{"data" if i == 1 else f"sum{i - 1}"}" top: "sum{i}" }}\n'
            )
            bottom = f"sum{i}"
    return text


@pytest.mark.parametrize("inner", ["ReLU", "PReLU", "TanH", "Dropout"])
@pytest.mark.parametrize("residual", [False, True])
def test_a_hundred_layers_neither_explode_nor_die(made: Made, inner: str, residual: bool) -> None:
    net, _ = made(deep(100, inner, residual=residual))
    graph = CaffeFrontend(3).load(net)
    for name, value in values(graph, {"data": numbers(1, 8, 12, 12)}).items():
        rms = float(np.sqrt(np.mean(np.square(value))))
        assert 0.005 < rms < 500, (name, rms)


def test_one_seed_gives_one_network(made: Made) -> None:
    net, _ = made(deep(3, "PReLU", residual=True))
    first, again, other = (CaffeFrontend(seed).load(net).constants for seed in (1, 1, 2))
    assert first.keys() == again.keys() == other.keys()
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[name], other[name]) for name in first if "act" in name)


def test_what_the_file_has_is_not_drawn(made: Made) -> None:
    kernel = numbers(8, 8, 3, 3)
    net, weights = made(deep(2, "ReLU", residual=False), {"c0": [kernel]})
    graph = CaffeFrontend(1).load(net, weights=weights)
    assert np.array_equal(graph.constants["c0_1"], kernel)
    reference = CaffeFrontend(1).reference(net, {"data": numbers(1, 8, 12, 12)}, weights=weights)
    ours = values(graph, {"data": numbers(1, 8, 12, 12)})
    assert np.allclose(ours["c1_act"], reference["c1_act"], atol=1e-4)


def test_other_frontends_say_that_they_have_no_use_for_it(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Plain:
        name = "plain"

        def accepts(self, path: object) -> bool:
            return True

    from cvi import plugins

    monkeypatch.setattr(plugins, "frontend_for", lambda path: Plain())
    net, _ = made(deep(1, "ReLU", residual=False))
    with pytest.raises(InputError, match="weights of plain models are always in the file"):
        cvi.load(net, random_weights=1)


def test_the_public_functions_draw_weights(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    from cvi import plugins

    monkeypatch.setattr(plugins, "frontend_for", lambda path: CaffeFrontend())
    net, _ = made(deep(1, "ReLU", residual=False))
    with pytest.raises(InputError, match="--random-weights"):
        cvi.load(net)
    assert len(cvi.load(net, random_weights=1).ops) == 2
    assert cvi.inspect(net, random_weights=1).parameters > 500
