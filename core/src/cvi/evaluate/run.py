"""Spreads an evaluation over processes or machines.

All that is asked of an executor is the interface of `concurrent.futures`: the standard
library's process pools and Dask's `Client.get_executor()` have it.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

from cvi.errors import CviError
from cvi.evaluate.accuracy import Accuracy, Prediction, predict
from cvi.evaluate.labels import Labelled
from cvi.evaluate.subjects import Scorer, Subject, loaded
from cvi.flow.running import with_real_inputs
from cvi.ir import Graph
from cvi.preprocess.dataset import samples

_CHUNK = 16
T = TypeVar("T")
Report = Callable[[Sequence[Prediction], int], None]
"""Called with the predictions so far, in no order, and the number of images in all."""


class Inline(Executor):
    """An executor that works in the calling process, at once."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def executor_for(jobs: int = 1, scheduler: str = "") -> Iterator[Executor]:
    """This process, `jobs` processes of this machine, or the workers of a Dask scheduler."""
    if scheduler:
        with _dask(scheduler) as executor:
            yield executor
    elif jobs > 1:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, mp_context=context) as pool:
            try:
                yield pool
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    else:
        yield Inline()


@contextmanager
def _dask(address: str) -> Iterator[Executor]:
    try:
        import distributed
    except ImportError:
        raise CviError(
            "a scheduler needs Dask, which is not installed",
            where="--scheduler",
            fix="pip install 'cvi-core[dask]' here and on the workers",
        ) from None
    connect: Any = distributed.Client  # which has no types
    try:
        client = connect(address, timeout=10)
    except OSError as error:
        raise CviError(
            f"the scheduler cannot be reached: {error}",
            where=f"--scheduler {address}",
            fix="start one with `dask scheduler`, and workers with `dask worker ADDRESS`",
        ) from None
    with client:
        yield client.get_executor()


def evaluate(
    subject: Subject,
    data: Sequence[Labelled],
    *,
    executor: Executor | None = None,
    report: Report | None = None,
    chunk: int = _CHUNK,
) -> Accuracy:
    """The predictions for all images.

    The images go in portions of `chunk` (at least a batch) to the executor, whose workers
    must see the files under the same paths. report: told after every portion.
    """
    executor = executor or Inline()
    size = _portion(subject, chunk)
    futures = {
        executor.submit(score, subject, tuple(data[first : first + size])): first
        for first in range(0, len(data), size)
    }
    done: dict[int, list[Prediction]] = {}
    try:
        for future in as_completed(futures):
            done[futures[future]] = future.result()
            if report:
                report([one for part in done.values() for one in part], len(data))
    finally:
        for future in futures:
            future.cancel()
    return Accuracy(tuple(one for first in sorted(done) for one in done[first]))


def score(subject: Subject, data: Sequence[Labelled]) -> list[Prediction]:
    """The predictions for some images, in their order; runs in a worker."""
    graph, scorer = _opened(subject)
    size = batch_of(graph)
    batches = samples(graph, [(one.file,) for one in data], size)
    found: list[Prediction] = []
    for inputs in batches:
        rows = scorer.run(inputs)
        rest = data[len(found) : len(found) + size]
        found += [predict(one, row) for one, row in zip(rest, rows.reshape(size, -1), strict=False)]
    return found


def batch_of(graph: Graph) -> int:
    """How many images the network takes at once."""
    return max((op.type.shape[0] for op in graph.inputs if op.type.shape), default=1)


def _portion(subject: Subject, chunk: int) -> int:
    batch = batch_of(loaded(subject.graph))
    return max(1, chunk // batch) * batch


@lru_cache(maxsize=1)
def _opened(subject: Subject) -> tuple[Graph, Scorer]:
    """What a worker keeps from one portion to the next."""
    return with_real_inputs(loaded(subject.graph)), subject.open()
