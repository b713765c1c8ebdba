"""A classifier is evaluated alike in this process, in others, and on Dask's workers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import cvi
from cvi.cli import main
from cvi.errors import CviError, InputError
from cvi.evaluate.accuracy import Prediction
from cvi.evaluate.labels import Labelled
from cvi.evaluate.run import evaluate, executor_for
from cvi.evaluate.subjects import GraphSubject
from cvi.ir import Graph, Input, TensorType, storage
from cvi.ops import FullyConnected

_CLASSES = 4


def _network(batch: int = 1) -> Graph:
    """Every score is one element of the input."""
    graph = Graph("pick")
    graph.add(Input(name="x", type=TensorType((batch, _CLASSES))))
    weight = graph.constant("w", np.eye(_CLASSES, dtype=np.float32))
    graph.add(FullyConnected(name="scores", inputs=("x", weight, "")))
    graph.outputs = ("scores",)
    return graph


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """`net.cvi.json` and 21 samples of which 14 are labelled right."""
    storage.save(_network(), tmp_path / "net.cvi.json")
    lines = []
    (tmp_path / "data").mkdir()
    for i in range(21):
        row = np.full((1, _CLASSES), 0.1, np.float32)
        row[0, i % _CLASSES] = 1.0
        np.save(tmp_path / "data" / f"{i:02}.npy", row)
        label = i % _CLASSES if i % 3 else (i + 1) % _CLASSES
        lines.append(f"{i:02}.npy {label}\n")
    (tmp_path / "labels.txt").write_text("".join(lines))
    return tmp_path


def _evaluated(world: Path, **options: object) -> list[Prediction]:
    result = cvi.evaluate_classifier(
        cvi.Evaluated(model=world / "net.cvi.json"),
        dataset=world / "data",
        labels=world / "labels.txt",
        **options,  # type: ignore[arg-type]
    )
    assert (result.count, result.hits(1)) == (21, 14)
    return list(result.predictions)


def test_processes_give_what_one_process_gives(world: Path) -> None:
    alone = _evaluated(world)
    assert [one.sample.file.name for one in alone] == [f"{i:02}.npy" for i in range(21)]
    assert _evaluated(world, jobs=2) == alone


def test_any_executor_of_the_standard_interface(world: Path) -> None:
    """Here threads, and a report after every portion."""
    alone = _evaluated(world)
    data = [one.sample for one in alone]
    seen: list[int] = []
    subject = GraphSubject(graph=world / "net.cvi.json", output="scores")
    with ThreadPoolExecutor(2) as executor:
        found = evaluate(
            subject, data, executor=executor, chunk=4, report=lambda p, n: seen.append(len(p))
        )
    assert list(found.predictions) == alone
    assert len(seen) == 6 and max(seen) == 21


def test_a_batch_that_is_not_full(world: Path, tmp_path: Path) -> None:
    storage.save(_network(batch=8), tmp_path / "net.cvi.json")
    _evaluated(world)


def test_workers_of_dask(world: Path) -> None:
    distributed = pytest.importorskip("distributed")
    alone = _evaluated(world)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        assert _evaluated(world, scheduler=cluster.scheduler_address) == alone


def test_a_scheduler_that_is_not_there(world: Path) -> None:
    with (
        pytest.raises(CviError, match=r"Dask|reached"),
        executor_for(scheduler="tcp://127.0.0.1:1"),
    ):
        pass


def test_an_error_in_a_worker_is_the_users_error(world: Path) -> None:
    (world / "labels.txt").write_text("00.npy 4\n")
    for jobs in (1, 2):
        with pytest.raises(InputError, match="network has 4 classes"):
            _evaluated(world, jobs=jobs)


def test_the_command(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", str(world / "net.cvi.json"), "--dataset", str(world / "data")]
    words += ["--labels", str(world / "labels.txt"), "--top", "1,3", "-o", str(world / "p.csv")]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert "top-1: 66.67% (14 of 21)" in shown.out
    assert "top-3: " in shown.out
    assert "21 of 21 images, top-1 66.67%" in shown.err
    assert len((world / "p.csv").read_text().splitlines()) == 22


def test_a_program_needs_its_graph(world: Path) -> None:
    (world / "x.cvimodel").write_bytes(b"")
    with pytest.raises(InputError, match="preprocessed"):
        cvi.evaluate_classifier(
            cvi.Evaluated(model=world / "x.cvimodel"),
            dataset=world / "data",
            labels=world / "labels.txt",
        )


def test_labelled_samples_are_hashable() -> None:
    assert len({Labelled(Path("a"), 1), Labelled(Path("a"), 1)}) == 1
