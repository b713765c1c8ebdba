"""The Preprocess object: derivation of formats, coefficients, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cvi.errors import InputError
from cvi.preprocess.presets import PRESETS, preset
from cvi.preprocess.spec import PIXEL_FORMATS, Preprocess

make = Preprocess.from_options


@pytest.mark.parametrize(
    ("options", "pixel_format", "order", "channels"),
    [
        ({}, "BGR_PLANAR", "bgr", 3),
        ({"channel_order": "rgb"}, "RGB_PLANAR", "rgb", 3),
        ({"data_format": "nhwc"}, "BGR_PACKED", "bgr", 3),
        ({"data_format": "nhwc", "channel_order": "rgb"}, "RGB_PACKED", "rgb", 3),
        ({"gray": True}, "GRAYSCALE", "bgr", 1),
        ({"channels": 1}, "GRAYSCALE", "bgr", 1),
        ({"channels": 4}, "RGBA_PLANAR", "rgba", 4),
        ({"channel_order": "rgba"}, "RGBA_PLANAR", "rgba", 4),
        ({"pixel_format": "RGB_PACKED", "channel_order": "bgr"}, "RGB_PACKED", "rgb", 3),
        ({"pixel_format": "bgr_planar", "channel_order": "rgb"}, "BGR_PLANAR", "bgr", 3),
        ({"pixel_format": "YUV420_PLANAR", "channel_order": "rgb"}, "YUV420_PLANAR", "rgb", 3),
        ({"pixel_format": "GRAYSCALE"}, "GRAYSCALE", "bgr", 1),
        ({"pixel_format": "RGBA_PLANAR"}, "RGBA_PLANAR", "rgba", 4),
    ],
)
def test_pixel_format_and_order(
    options: dict[str, Any], pixel_format: str, order: str, channels: int
) -> None:
    found = make((8, 8), **options)
    assert (found.pixel_format, found.channel_order, found.channels) == (
        pixel_format,
        order,
        channels,
    )
    assert found.aligned == pixel_format.startswith("YUV")


@pytest.mark.parametrize(
    ("resize", "expected"),
    [(None, (224, 200)), ((256, 256), (256, 256)), ((100, 300), (224, 300))],
)
def test_the_resize_size_is_the_larger_of_both(
    resize: tuple[int, int] | None, expected: tuple[int, int]
) -> None:
    assert make((224, 200), resize_dims=resize).resize_dims == expected


def test_coefficients_are_those_of_the_guides_formula() -> None:
    p = make((8, 8), raw_scale=1.0, mean=(0.485, 0.456, 0.406), std=(0.2, 0.3, 0.4), input_scale=2)
    scale, bias = p.coefficients()
    for x in (0, 17, 255):
        expected = (x * 1.0 / 255 - np.array(p.mean)) / np.array(p.std) * 2
        np.testing.assert_allclose(x * np.array(scale) - np.array(bias), expected, rtol=1e-12)


def test_one_mean_serves_all_channels_and_surplus_ones_are_ignored() -> None:
    assert make((8, 8), mean=(127.5,)).mean == (127.5,) * 3
    assert make((8, 8), mean=(1, 2, 3, 4)).mean == (1, 2, 3)
    assert make((8, 8), mean=(1, 2, 3), gray=True).mean == (1,)
    assert len(make((8, 8), channels=4).coefficients()[0]) == 4


@pytest.mark.parametrize(
    ("options", "formula"),
    [
        ({}, "b,g,r: y = x"),
        ({"gray": True, "mean": (3,)}, "gray: y = x - 3"),
        (
            {"mean": (1, -2, 0), "channel_order": "rgb"},
            "r: y = x - 1\ng: y = x + 2\nb: y = x",
        ),
        (
            {"mean": (127.5,), "std": (127.5,), "channel_order": "rgb"},
            "r,g,b: y = x * 0.0078431373 - 1",
        ),
    ],
)
def test_the_formula_reads_as_one_writes_it(options: dict[str, Any], formula: str) -> None:
    assert make((8, 8), **options).formula() == formula


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"resize_dims": (0, 8)}, "--image-resize-dims"),
        ({"resize_dims": (8,)}, "--image-resize-dims"),
        ({"resize_dims": (8, 1 << 20)}, "--image-resize-dims"),
        ({"crop": "left"}, "--crop-method"),
        ({"mean": (1, 2)}, "--mean"),
        ({"mean": (float("nan"),)}, "--mean"),
        ({"std": (1, 0, 1)}, "--std"),
        ({"std": (1, float("inf"), 1)}, "--std"),
        ({"std": (5e-324,)}, "--std"),
        ({"raw_scale": 0}, "--raw-scale"),
        ({"input_scale": float("inf")}, "--input-scale"),
        ({"channel_order": "grb"}, "--channel-order"),
        ({"pixel_format": "NV12"}, "--pixel-format"),
        ({"data_format": "nwhc"}, "--data-format"),
        ({"channels": 2}, "--pixel-format"),
        ({"gray": True, "pixel_format": "RGB_PLANAR"}, "--pixel-format"),
        ({"channels": 4, "channel_order": "rgb", "pixel_format": "YUV_NV12"}, "--pixel-format"),
    ],
)
def test_impossible_options_name_the_option(options: dict[str, Any], where: str) -> None:
    with pytest.raises(InputError) as caught:
        make((8, 8), **options)
    assert caught.value.where == where
    assert caught.value.fix


def test_impossible_net_sizes() -> None:
    for dims in [(), (8,), (8, -1), (8, 8, 8), (8, 8.5)]:
        with pytest.raises(InputError, match="not an image size"):
            make(dims)  # type: ignore[arg-type]


def test_the_object_itself_checks_too() -> None:
    with pytest.raises(InputError, match="does not cover"):
        Preprocess(net_input_dims=(8, 8), resize_dims=(8, 7))
    with pytest.raises(InputError, match="GRAYSCALE does not have 3"):
        Preprocess(net_input_dims=(8, 8), resize_dims=(8, 8), pixel_format="GRAYSCALE")


def test_every_preset_is_valid_and_documented() -> None:
    assert len({p.name for p in PRESETS}) == len(PRESETS)
    for known in PRESETS:
        assert preset(known.name) is known
        made = make((32, 32), **known.options)
        assert made.pixel_format in PIXEL_FORMATS
        assert known.summary.startswith(made.channel_order.upper())


def test_presets_have_the_ranges_they_promise() -> None:
    def ends(name: str) -> tuple[float, float]:
        scale, bias = make((8, 8), **preset(name).options).coefficients()
        return -bias[0], 255 * scale[0] - bias[0]

    assert ends("zero-one") == pytest.approx((0, 1))
    assert ends("tf-minus1-1") == pytest.approx((-1, 1))
    assert ends("none") == ends("zero-255") == (0, 255)
    assert ends("imagenet-torch") == pytest.approx((-0.485 / 0.229, 0.515 / 0.229))


def test_an_unknown_preset_lists_all() -> None:
    with pytest.raises(InputError, match=r"did you mean imagenet-torch.*one of:.*none"):
        preset("imagenet-toch")
