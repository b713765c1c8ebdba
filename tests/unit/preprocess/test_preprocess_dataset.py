"""Data sets: finding, listing, choosing and loading samples."""

from __future__ import annotations

import io
import pickle
import random
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from cvi.errors import InputError
from cvi.ir import DType, Graph, Input, TensorType
from cvi.preprocess.dataset import find_images, read_image_list, samples, select
from cvi.preprocess.host import load_image
from cvi.preprocess.spec import Preprocess
from cvi.preprocess.tensors import load_tensors

PREPROCESS = Preprocess.from_options((8, 8), mean=(100.0,))


def image_file(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), np.uint8)
    cv2.imwrite(str(path), pixels)
    return path


def image_graph(batch: int = 1) -> Graph:
    graph = Graph("g")
    graph.add(Input(name="x", type=TensorType((batch, 3, 8, 8)), preprocess=PREPROCESS))
    return graph


def two_input_graph() -> Graph:
    graph = image_graph()
    graph.add(Input(name="ids_Input", source="ids", type=TensorType((1, 4), DType.INT32)))
    return graph


def test_folders_are_searched_in_a_fixed_order(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "b/10.jpg", "a.bmp", "c.txt", "d.npz"):
        image_file(tmp_path / "x.png").rename(tmp_path / "tmp")
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / "tmp").rename(tmp_path / name)
    found = [str(files[0].relative_to(tmp_path)) for files in find_images(tmp_path)]
    assert found == ["a.bmp", "b/10.jpg", "b/2.PNG", "d.npz"]


def test_a_single_file_is_a_data_set(tmp_path: Path) -> None:
    path = image_file(tmp_path / "x.jpg")
    assert find_images(path) == [(path,)]


def test_image_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside, absolute = image_file(tmp_path / "l" / "a.png"), image_file(tmp_path / "b.png")
    here = image_file(tmp_path / "work" / "c.png")
    monkeypatch.chdir(here.parent)
    text = f"# comment\n\na.png\r\n{absolute} , a.png\nc.png\n"
    (tmp_path / "l" / "list.txt").write_bytes(text.encode())
    found = find_images(tmp_path / "l" / "list.txt")
    assert found == [(beside,), (absolute, beside), (Path("c.png"),)]


def test_missing_files_of_a_list_are_counted(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("no1.jpg\n# x\nno2.jpg\n")
    with pytest.raises(InputError, match=r"no1\.jpg.*2 files are missing") as caught:
        read_image_list(tmp_path / "list")
    assert caught.value.where.endswith("list, line 1")


def test_nothing_found_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="an empty folder"):
        find_images(tmp_path)
    (tmp_path / "x.heic").write_text("")
    with pytest.raises(InputError, match=r"only: \.heic"):
        find_images(tmp_path)
    with pytest.raises(InputError, match=r"did you mean .*x\.heic"):
        find_images(tmp_path / "x.heif")
    (tmp_path / "list").write_text("# only comments\n")
    with pytest.raises(InputError, match="list is empty"):
        find_images(tmp_path / "list")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="neither an image nor a list"):
        find_images(tmp_path / "binary")


def test_lists_of_random_bytes_are_input_errors(tmp_path: Path) -> None:
    rng = random.Random(0)
    for _ in range(100):
        (tmp_path / "list").write_bytes(
            bytes(rng.randrange(128) for _ in range(rng.randrange(400)))
        )
        with pytest.raises(InputError):
            read_image_list(tmp_path / "list")


def test_choices_are_reproducible_and_in_order() -> None:
    every = [(Path(f"{i:03}.jpg"),) for i in range(100)]
    chosen = select(every, 10, seed=1)
    assert chosen == select(every, 10, seed=1) == sorted(chosen)
    assert len(set(chosen)) == 10
    assert chosen != select(every, 10, seed=2)
    assert [f[0].stem for f in select(every, 3)] == ["035", "040", "052"]
    for count in (None, 0, 100, 1000):
        assert select(every, count) == every
    with pytest.raises(InputError):
        select(every, -1)


def test_images_become_batches_and_the_last_is_filled(tmp_path: Path) -> None:
    files = [image_file(tmp_path / f"{i}.png", i) for i in range(5)]
    images = [load_image(file, PREPROCESS) for file in files]
    batches = list(samples(image_graph(4), files))
    assert [batch["x"].shape for batch in batches] == [(4, 3, 8, 8)] * 2
    np.testing.assert_array_equal(batches[0]["x"], np.concatenate(images[:4]))
    np.testing.assert_array_equal(batches[1]["x"], np.concatenate([images[4]] * 4))
    assert len(list(samples(image_graph(4), [(file,) for file in files], batch=1))) == 5
    with pytest.raises(InputError, match="batch of 0"):
        list(samples(image_graph(4), files, batch=0))


def test_tensors_serve_inputs_by_name_or_source(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "s.npz", x=x.astype(np.float64), ids=np.arange(4), other=np.ones(3))
    (sample,) = samples(two_input_graph(), [tmp_path / "s.npz"])
    np.testing.assert_array_equal(sample["x"], x)
    assert sample["ids_Input"].dtype == np.int32
    assert sample["ids_Input"].shape == (1, 4)


def test_several_files_serve_several_inputs(tmp_path: Path) -> None:
    image = image_file(tmp_path / "a.png")
    np.save(tmp_path / "ids.npy", np.array([[4, 3, 2, 1]]))
    (sample,) = samples(two_input_graph(), [(image, tmp_path / "ids.npy")])
    np.testing.assert_array_equal(sample["x"], load_image(image, PREPROCESS))
    assert sample["ids_Input"].tolist() == [[4, 3, 2, 1]]


def test_arrays_are_used_as_they_are_in_any_batch(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((3, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "a.npz", whatever=x)
    np.save(tmp_path / "b.npy", x[0])
    batches = list(samples(image_graph(2), [tmp_path / "a.npz", tmp_path / "b.npy"]))
    np.testing.assert_array_equal(np.concatenate([b["x"] for b in batches]), x[[0, 1, 2, 0]])


def test_inputs_of_different_first_dimensions(tmp_path: Path) -> None:
    graph = image_graph(1)
    graph.add(Input(name="rois", type=TensorType((5, 4))))
    x, rois = np.zeros((2, 3, 8, 8)), np.arange(40.0).reshape(10, 4)
    np.savez(tmp_path / "a.npz", x=x, rois=rois)
    first, second = samples(graph, [tmp_path / "a.npz"])
    np.testing.assert_array_equal(np.concatenate([first["rois"], second["rois"]]), rois)
    np.savez(tmp_path / "b.npz", x=x, rois=rois[:5])
    with pytest.raises(InputError, match="different batch sizes"):
        list(samples(graph, [tmp_path / "b.npz"]))


def test_samples_that_do_not_fit(tmp_path: Path) -> None:
    image = image_file(tmp_path / "a.png")
    cases = {
        "does not fit input 'x'": {"x": np.zeros((1, 3, 8, 9))},
        "NaN or infinity": {"x": np.full((1, 3, 8, 8), np.nan)},
    }
    for why, arrays in cases.items():
        np.savez(tmp_path / "bad.npz", **arrays)
        with pytest.raises(InputError, match=why) as caught:
            list(samples(image_graph(), [tmp_path / "bad.npz"]))
        assert caught.value.where.endswith("bad.npz")
    np.savez(tmp_path / "names.npz", x=np.zeros((1, 3, 8, 8)), idx=np.zeros((1, 4)))
    with pytest.raises(InputError, match="no tensor for input 'ids_Input'; the file has x, idx"):
        list(samples(two_input_graph(), [tmp_path / "names.npz"]))
    with pytest.raises(InputError, match="1 files for the 2 inputs x, ids_Input"):
        list(samples(two_input_graph(), [image]))
    with pytest.raises(InputError, match="no preprocessing is known"):
        list(samples(two_input_graph(), [(image, image)]))
    with pytest.raises(InputError, match="has no inputs"):
        list(samples(Graph("empty"), [image]))


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("/tmp/cvi-evil"),)  # type: ignore[return-value]


def test_nothing_in_a_tensor_file_is_executed(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([Evil()], object), allow_pickle=True)
    (tmp_path / "p.npy").write_bytes(pickle.dumps([1, 2]))
    np.savez(tmp_path / "o.npz", x=np.array([None]))
    np.savez(tmp_path / "s.npz", x=np.array(["text"]))
    for name in ("o.npy", "p.npy", "o.npz", "s.npz"):
        with pytest.raises(InputError) as caught:
            load_tensors(tmp_path / name)
        assert caught.value.where.endswith(name)


def test_bombs_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(5):
            archive.writestr(f"{i}.npy", b"")
        for member in archive.infolist():
            member.file_size = 1 << 31
    with pytest.raises(InputError, match="4 GiB"):
        load_tensors(tmp_path / "b.npz")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)}
    )
    (tmp_path / "h.npy").write_bytes(header.getvalue() + bytes(100))
    with pytest.raises(InputError, match="not a sound"):
        load_tensors(tmp_path / "h.npy")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_tensor_mutants_are_read_or_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    if suffix == ".npy":
        np.save(path, np.ones((2, 3), np.float32))
    else:
        np.savez_compressed(path, a=np.ones((2, 3), np.float32), b=np.arange(5))
    whole = path.read_bytes()
    refused = 0
    for seed in range(250):
        rng = random.Random(seed)
        data = bytearray(whole[: rng.randrange(len(whole))] if seed % 5 == 0 else whole)
        for _ in range(rng.randint(1, 4)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(bytes(data))
        try:
            load_tensors(path)
        except InputError as error:
            refused += 1
            assert error.where == str(path)
    assert 0 < refused < 250
