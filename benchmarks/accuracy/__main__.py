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
import json
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
from benchmarks.zoo import REPOSITORY

from cvi.errors import CviError

PAGE = REPOSITORY / "docs" / "accuracy.md"
KEPT = REPOSITORY / "out" / "accuracy"


def main() -> int:
    asked = _options()
    asked.keep.mkdir(parents=True, exist_ok=True)
    search, fast = asked.keep / "search.json", asked.keep / "fast.json"
    if asked.search:
        search.write_text(json.dumps(asdict(measure_search()), indent=1))
    if asked.fast:
        fast.write_text(json.dumps([asdict(one) for one in measure_fast()], indent=1))
    only_part = asked.search or asked.fast or asked.page
    for entry in () if only_part else classifiers(asked.names):
        _measured(entry, asked)
    found = [Found.read(entry, Kept(asked.keep, entry)) for entry in CLASSIFIERS]
    PAGE.write_text(page(found, _read_search(search), _read_fast(fast)))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="beginnings of names; all by default")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--forms", default="", help="only these, as INT8,BF16,mixed 6")
    parser.add_argument("--peer", type=Path, help="the peer's environment: measure only the peer")
    parser.add_argument("--methods", action="store_true", help=f"other methods too, of {COMPARED}")
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
            methods = asked.methods and entry.name == COMPARED
            only = [form.strip() for form in asked.forms.split(",") if form.strip()]
            measure(entry, asked.images, kept, only=only, methods=methods)
    except CviError as error:
        kept.keep_problem(name, error.why)
        said(f"{entry.name}: {error.why}")


def _read_search(path: Path) -> SearchCost | None:
    if not path.exists():
        return None
    data = json.loads(path.read_text())
    return SearchCost(**data | {"reached": tuple(Reached(**one) for one in data["reached"])})


def _read_fast(path: Path) -> list[Distance]:
    return [Distance(**one) for one in json.loads(path.read_text())] if path.exists() else []


if __name__ == "__main__":
    sys.exit(main())
