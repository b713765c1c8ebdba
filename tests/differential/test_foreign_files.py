"""Files that another compiler made: our simulator gives the bytes of the vendor's.

They contain compressed weights, both stride modes, BF16 instructions, table moves, inputs in
other lanes than results, and CPU functions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cvi.ir import Array
from cvi_runner_vendor.runner import VendorRunner
from cvi_tpu.model import CviModelFile, read_file
from cvi_tpu.runtime import Runtime
from vendor_here import needs_vendor

pytestmark = [pytest.mark.vendor, needs_vendor]

FILES = [
    "cls_keypoint_hand_gesture_1_42_INT8",
    "cls_sound_babay_cry_188_40_INT8",
    "keypoint_face_v2_64_64_INT8",
    "mbv2_det_person_256_384_INT8",
    pytest.param("recognition_license_plate_24_96_MIX", marks=pytest.mark.slow),
    "scrfd_det_face_432_768_INT8",
    "topformer_seg_motion_512_960_INT8",
    "yolov8n_det_hand_384_640_INT8",
]


def random_inputs(model: CviModelFile) -> dict[str, Array]:
    """Random integers of the whole range for every input."""
    random, program = np.random.default_rng(0), model.programs[0]
    feeds = {}
    for name in program.inputs:
        tensor = program.tensor(name)
        limits = np.iinfo(tensor.dtype.numpy)
        values = random.integers(limits.min, limits.max + 1, tensor.shape)
        feeds[name] = values.astype(tensor.dtype.numpy)
    return feeds


@pytest.mark.parametrize("name", FILES)
def test_every_tensor_is_the_vendors(shared: Path, name: str) -> None:
    path = shared / "models" / "cvimodel_cv181x" / f"{name}_cv181x.cvimodel"
    model = read_file(path)
    feeds = random_inputs(model)
    got = Runtime(model).run(feeds, all_tensors=True)
    want = VendorRunner().run(path, feeds, all_tensors=True, timeout=300)
    assert set(got) == set(want)
    for tensor, values in want.items():
        np.testing.assert_array_equal(got[tensor].ravel(), values.ravel(), err_msg=tensor)
    assert any(np.ptp(values.astype(np.float64)) > 0 for values in want.values())
