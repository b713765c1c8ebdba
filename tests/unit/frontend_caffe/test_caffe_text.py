"""The reader of text files and the schema, against protobuf's own."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from cvi.errors import ModelError
from cvi_frontend_caffe import schema
from cvi_frontend_caffe.text import Unknown, read_text


def read(text: str) -> object:
    net = schema.message("NetParameter")
    read_text(text, net)
    return net


# -- schema ---------------------------------------------------------------------------


def test_the_schema_is_what_protoc_makes_of_the_file(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools")
    from google.protobuf import descriptor_pb2
    from grpc_tools import protoc

    source = resources.files("cvi_frontend_caffe").joinpath("caffe.proto").read_text("utf-8")
    (tmp_path / "caffe.proto").write_text(source)
    out = tmp_path / "set.pb"
    command = ["protoc", f"-I{tmp_path}", f"--descriptor_set_out={out}", "caffe.proto"]
    assert protoc.main(command) == 0
    theirs = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file[0]
    ours = schema.file_descriptor(source)
    for file in (ours, theirs):
        for message in file.message_type:
            for field in message.field:
                field.ClearField("json_name")
                if field.type == field.TYPE_FLOAT and field.default_value:
                    field.default_value = str(float(field.default_value))
    assert ours == theirs


def test_fields_agree_with_the_table(shared: Path) -> None:
    """Every field that we have and the table of the vendor's fork has, has the same number."""
    table = {}
    for line in (shared / "facts/caffe_proto_fields.tsv").read_text().splitlines()[1:]:
        message, _, _, name, number, *_ = line.split("\t")
        table[message, name] = number
    checked = 0
    for name, cls in schema.classes().items():
        for field in cls.DESCRIPTOR.fields:
            if (name, field.name) in table and field.name != "clip_param":
                assert int(table[name, field.name]) == field.number, (name, field.name)
                checked += 1
    assert checked > 350


def test_no_other_framework_is_imported() -> None:
    """Loading and running a network needs neither onnx nor TensorFlow."""
    code = (
        "import sys, pkgutil, importlib, cvi_frontend_caffe as p\n"
        "for m in pkgutil.walk_packages(p.__path__, p.__name__ + '.'):\n"
        "    importlib.import_module(m.name)\n"
        "from cvi_frontend_caffe import converters; converters.load()\n"
        "print([m for m in ('onnx', 'onnxruntime', 'tensorflow', 'cv2') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


# -- text -----------------------------------------------------------------------------


def test_real_files_are_read_as_protobuf_reads_them(shared: Path) -> None:
    files = [*shared.glob("prototxt/*.prototxt"), *shared.glob("models/caffe/*/*.prototxt")]
    assert len(files) > 70
    for path in files:
        text = path.read_text("utf-8", "replace")
        theirs = schema.message("NetParameter")
        text_format.Parse(text, theirs, allow_unknown_field=True)
        assert read(text) == theirs, path


def test_all_forms_of_values() -> None:
    net = read(
        """name: 'a' "b\\n" # comment
        layer < name: "x", top: ["t", "u"]; relu_param { negative_slope: -1.5e-1f }
          pooling_param: { pool: 1 kernel_size: 0x10 } loss_weight: inf include { phase: TEST }
          concat_param { axis: - 1 } inner_product_param { bias_term: f transpose: 1 } >
        """
    )
    theirs = schema.message("NetParameter")
    theirs.name = "ab\n"
    layer = theirs.layer.add(name="x", top=["t", "u"], loss_weight=[float("inf")])
    layer.relu_param.negative_slope = -0.15
    layer.pooling_param.pool, layer.pooling_param.kernel_size = 1, 16
    layer.include.add(phase=1)
    layer.concat_param.axis = -1
    layer.inner_product_param.bias_term, layer.inner_product_param.transpose = False, True
    assert net == theirs


def test_unknown_things_are_told_with_their_lines() -> None:
    net = schema.message("NetParameter")
    file = read_text(
        """name: "n"
        colour: [1, 2]
        layer { name: "a"
          frob { x: 1 y { z: "}" } list: [ { a: 1 }, { b: 2 } ] }
          pooling_param { pool: MEDIAN
            engine: FAST kernel_size: 2 } }
        layer { name: "b" wobble: 'x' "y" }
        """,
        net,
    )
    assert file.unknown == [
        Unknown("colour", 2),
        Unknown("layer.frob", 4, 0),
        Unknown("layer.pooling_param.pool: MEDIAN", 5, 0, essential=True),
        Unknown("layer.pooling_param.engine: FAST", 6, 0),
        Unknown("layer.wobble", 7, 1),
    ]
    assert file.lines == {"layer": [3, 7]}
    assert [layer.name for layer in net.layer] == ["a", "b"]
    assert net.layer[0].pooling_param.kernel_size == 2


@pytest.mark.parametrize(
    "text, line, why",
    [
        ("layer {\n name: 5 }", 2, "text in quotes"),
        ("layer {\n\n", 3, "the end of the file"),
        ("layer { name: 'a' \n name: 'b' }", 2, "given twice"),
        ("layer { convolution_param { num_output: 1.5 } }", 1, "whole number"),
        ("layer { convolution_param { num_output: -1 } }", 1, "between 0"),
        ("layer { convolution_param { bias_term: 2 } }", 1, "true or false"),
        ("layer { relu_param { negative_slope: abc } }", 1, "is a number"),
        ("layer { name: }", 1, "no value"),
        ("layer: 3", 1, "needs {"),
        ("name: ['a', 'b']", 1, "one value, not a list"),
        ("}", 1, "where a field"),
        ("layer { top: ['a' 'b' }", 1, "not closed"),
        ("\n\x00", 2, "does not belong"),
        ("layer { blobs { data: 1.5 } }", 1, "text form"),
        ("a { " * 50, 1, "deep"),
    ],
)
def test_malformed_text_is_an_error_with_its_line(text: str, line: int, why: str) -> None:
    with pytest.raises(ModelError, match=why) as caught:
        read(text)
    assert caught.value.where == f"line {line}" and caught.value.fix


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
FLOATS = st.floats(width=32, allow_nan=False)


@given(
    names=st.lists(NAMES, max_size=4),
    numbers=st.lists(st.integers(0, 2**32 - 1), max_size=4),
    floats=st.lists(FLOATS, max_size=4),
    axis=st.integers(-(2**31), 2**31 - 1),
    pool=st.sampled_from([0, 1, 2, 1001]),
)
@settings(max_examples=100, deadline=None)
def test_what_protobuf_writes_is_read_back(
    names: list[str], numbers: list[int], floats: list[float], axis: int, pool: int
) -> None:
    net = schema.message("NetParameter")
    for name in names:
        layer = net.layer.add(name=name, bottom=names, loss_weight=floats)
        layer.convolution_param.kernel_size.extend(numbers)
        layer.concat_param.axis = axis
        layer.pooling_param.pool = pool
    net.input_dim.extend(n % 1000 for n in numbers)
    assert read(text_format.MessageToString(net)) == net
    assert read(text_format.MessageToString(net, as_one_line=True, as_utf8=True)) == net
