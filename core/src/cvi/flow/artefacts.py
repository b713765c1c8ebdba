"""What `--work-dir` keeps: graphs, the calibration table, comparisons with their tensors."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cvi.files import atomic_write, atomic_write_bytes
from cvi.ir import Array, Graph

if TYPE_CHECKING:
    from cvi.calibrate.table import CalibrationTable
    from cvi.compare import Comparison
    from cvi.flow.job import Job


def keep_graph(job: Job, graph: Graph, suffix: str) -> None:
    """NAME_fp32.cvi.json, NAME_int8.cvi.json, each with its weights next to it."""
    from cvi.ir import storage

    path = job.artefact(suffix)
    if path:
        storage.save(graph, path)


def keep_table(job: Job, table: CalibrationTable) -> None:
    """NAME_calibration_table."""
    path = job.artefact("calibration_table")
    if path:
        table.write(path)


def keep_comparison(
    job: Job,
    stage: str,
    result: Comparison,
    target: Mapping[str, Array],
    reference: Mapping[str, Array],
) -> None:
    """NAME_<stage>.csv, and both sides as NAME_<stage>_target.npz and _reference.npz."""
    table = job.artefact(f"{stage}.csv")
    if table:
        write_csv(table, result)
    for side, arrays in (("target", target), ("reference", reference)):
        path = job.artefact(f"{stage}_{side}.npz")
        if path:
            write_npz(path, arrays)


def write_csv(path: Path, result: Comparison) -> None:
    """The table of a comparison."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(result.table())
    atomic_write_bytes(path, text.getvalue().encode())


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Named tensors as an npz file; the same tensors give the same bytes."""
    import zipfile

    from numpy.lib.format import write_array

    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            data = io.BytesIO()
            write_array(data, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data.getvalue())
