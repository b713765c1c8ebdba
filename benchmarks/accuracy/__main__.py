"""Measures the real classifiers in every precision; writes docs/accuracy.md.

    python -m benchmarks.accuracy [NAME ...] [--images N] [--keep DIR] [--peer DIR] [--forms F,...]
                                  [--methods] [--search] [--fast] [--page]

Needs the folder `shared`. Finished measurements are kept in DIR (out/accuracy), one file per
form of each classifier, so that a run that was stopped goes on where it was; give an empty
folder to measure anew. Several runs with different names may go on at once. The page is made
of all that lie in the folder. --peer: the folder that `shared/vendor/peer.py setup` made; the
peer is measured on the same tensors. Names are beginnings of names.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.accuracy.catalogue import CLASSIFIERS, Classifier, classifiers
from benchmarks.accuracy.fast import Distance, measure_fast
from benchmarks.accuracy.forms import COMPARED, measure, said
from benchmarks.accuracy.kept import Kept
from benchmarks.accuracy.page import Found, page
from benchmarks.accuracy.peer import PEER, Peer
from benchmarks.accuracy.search_cost import Reached, SearchCost, measure_search
from benchmarks.kept import KeptFolder
from benchmarks.zoo import REPOSITORY

from cvi.errors import CviError

PAGE = REPOSITORY / "docs" / "accuracy.md"
KEPT = REPOSITORY / "out" / "accuracy"


def main() -> int:
    asked = _options()
    parts = KeptFolder(asked.keep)
    if asked.search:
        parts.write("search", measure_search())
    if asked.fast:
        parts.write("fast", [asdict(one) for one in measure_fast()])
    only_part = asked.search or asked.fast or asked.page
    for entry in () if only_part else classifiers(asked.names):
        _measured(entry, asked)
    found = [Found.read(entry, Kept(asked.keep, entry)) for entry in CLASSIFIERS]
    PAGE.write_text(page(found, _search(parts), _fast(parts)))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="beginnings of names; all by default")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--forms", default="", help="only these, as INT8,BF16,mixed 6")
    parser.add_argument("--peer", type=Path, help="the peer's environment: measure only the peer")
    parser.add_argument("--methods", action="store_true", help="other methods too, of a few")
    parser.add_argument("--search", action="store_true", help="only the cost of the search")
    parser.add_argument("--fast", action="store_true", help="only the fast evaluator's distance")
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument("--keep", type=Path, default=KEPT)
    return parser.parse_args()


def _measured(entry: Classifier, asked: argparse.Namespace) -> None:
    """Measure what is missing; a reason why something cannot be is kept too."""
    kept = Kept(asked.keep, entry)
    name = PEER if asked.peer else "ours"
    try:
        if asked.peer:
            Peer(asked.peer, kept.folder / "peer").measure(entry, asked.images, kept)
        else:
            methods = asked.methods and entry.name in COMPARED
            only = [form.strip() for form in asked.forms.split(",") if form.strip()]
            measure(entry, asked.images, kept, only=only, methods=methods)
    except CviError as error:
        kept.keep_problem(name, error.why)
        said(f"{entry.name}: {error.why}")


def _search(parts: KeptFolder) -> SearchCost | None:
    data = parts.read("search")
    if data is None:
        return None
    return SearchCost(**data | {"reached": tuple(Reached(**one) for one in data["reached"])})


def _fast(parts: KeptFolder) -> list[Distance]:
    return [Distance(**one) for one in parts.read("fast") or ()]


if __name__ == "__main__":
    sys.exit(main())
