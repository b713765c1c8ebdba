"""The generated page of Caffe layers."""

from __future__ import annotations

from benchmarks.caffe_layers import PAGE, counts_of, rendered

from cvi_frontend_caffe.registry import built_in


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text("utf-8")
    assert page == rendered(counts_of(page)), "run python benchmarks/caffe_layers.py"


def test_every_layer_type_is_explained() -> None:
    lines = PAGE.read_text("utf-8").splitlines()
    for name in built_in():
        (line,) = [line for line in lines if line.startswith(f"| {name} |")]
        assert len(line.split("|")[2].strip()) > 5, name
