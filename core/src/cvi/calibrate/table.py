"""Calibration tables in the vendor's text format (FACTS_TOOLCHAIN 5.2).

One layer per line, `name threshold min max`, after some `#` comments. Read are also
the older two-column lines `name threshold`, `weight name t0 t1 ...` (one threshold
per output channel of the layer's filter) and `bitwidth name 8`. A threshold T means
that the real value T is stored as 127 (DECISIONS). What the vendor's tools do not know
stands in comments: `# means: n m1 ... mn name`, the mean of every channel.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from cvi.errors import InputError
from cvi.files import atomic_write_bytes

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_BINS = re.compile(r"#\s*histogram number:\s*(\d{1,9})\s*", re.ASCII)
_SAMPLES = re.compile(r"#\s*sample number:\s*(\d{1,12})\s*", re.ASCII)
_MEANS = re.compile(r"#\s*means:\s*(\d{1,7})\s(.*)", re.ASCII)
_MAX_FILE = 1 << 26
_EXAMPLE = "lines look like `conv1 2.6400001 -2.1179039 2.6400001`"


@dataclass(frozen=True)
class Threshold:
    """What calibration found for one tensor, in real units; threshold > 0, min <= max.

    min and max are information only: the quantisation is symmetric.
    """

    threshold: float
    min: float
    max: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.threshold, self.min, self.max))):
            raise InputError("a threshold, minimum or maximum is not a finite number")
        if self.threshold <= 0:
            raise InputError(f"the threshold {self.threshold:g} is not positive")
        if self.min > self.max:
            raise InputError(f"the minimum {self.min:g} is greater than the maximum {self.max:g}")

    def rounded(self) -> Threshold:
        """As it is after writing and reading: a saved table changes no result."""
        return Threshold(*(float(_format(v)) for v in (self.threshold, self.min, self.max)))


@dataclass(frozen=True)
class CalibrationTable:
    """Thresholds by layer name, in execution order.

    weights: per-output-channel filter thresholds by layer name, normally none.
    means: of the channels of tensors that filters read, by layer name.
    bins, samples: how it was made, None when the file does not say.
    """

    entries: Mapping[str, Threshold]
    weights: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    means: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    bins: int | None = None
    samples: int | None = None
    path: str = ""

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def threshold(self, name: str) -> float:
        """The threshold of a layer; InputError with near names when it has none."""
        entry = self.entries.get(name)
        if entry is not None:
            return entry.threshold
        near = difflib.get_close_matches(name, self.entries, n=3)
        hint = f"; near names in the table: {', '.join(near)}" if near else ""
        raise InputError(
            f"the calibration table has no threshold for layer {name!r}{hint}",
            where=self.path,
            fix="calibrate this very model again, or run the layer in BF16",
        )

    @classmethod
    def read(cls, path: str | Path) -> CalibrationTable:
        """Read a table file. InputError names the first line that is not understood."""
        path = Path(path)
        return cls.parse(_text_of(path), where=str(path))

    @classmethod
    def parse(cls, text: str, *, where: str = "calibration table") -> CalibrationTable:
        """The table in a text; `where` names it in errors."""
        parser = _Parser()
        for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1):
            try:
                parser.line(line.strip(" \t"))
            except InputError as error:
                fix = error.fix or _EXAMPLE
                raise InputError(error.why, where=f"{where}, line {number}", fix=fix) from None
        if not parser.entries:
            raise InputError("there is no threshold in this table", where=where, fix=_EXAMPLE)
        return cls(
            parser.entries,
            parser.weights,
            parser.means,
            parser.bins,
            parser.samples,
            path=where,
        )

    def text(self) -> str:
        """The table as text; the same table gives the same text.

        A time is written only from SOURCE_DATE_EPOCH. InputError when a layer name
        cannot stand in a table.
        """
        lines = list(self._header())
        for name, entry in self.entries.items():
            values = (entry.threshold, entry.min, entry.max)
            lines.append(" ".join([_writable(name), *map(_format, values)]))
        for name, weights in self.weights.items():
            lines.append(" ".join(["weight", _writable(name, word=True), *map(_format, weights)]))
        for name, means in self.means.items():
            numbers = " ".join(map(format_mean, means))
            lines.append(f"# means: {len(means)} {numbers} {_writable(name)}")
        return "\n".join(lines) + "\n"

    def write(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        atomic_write_bytes(path, self.text().encode())

    def _header(self) -> Iterator[str]:
        epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
        if epoch.isascii() and epoch.isdigit():
            with suppress(OverflowError, ValueError, OSError):
                time = datetime.fromtimestamp(int(epoch), timezone.utc)
                yield f"# generated time: {time:%Y-%m-%d %H:%M:%S}"
        if self.bins is not None:
            yield f"# histogram number: {self.bins}"
        if self.samples is not None:
            yield f"# sample number: {self.samples}"
        yield "###"
        yield "# op_name    threshold    min    max"


class _Parser:
    """Takes the lines of a table one by one."""

    def __init__(self) -> None:
        self.entries: dict[str, Threshold] = {}
        self.weights: dict[str, tuple[float, ...]] = {}
        self.means: dict[str, tuple[float, ...]] = {}
        self.bins: int | None = None
        self.samples: int | None = None

    def line(self, line: str) -> None:
        words = line.split()
        if not words:
            return
        if line.startswith("#"):
            self._comment(line)
        elif words[0] == "weight" and _is_option(words):
            self._weight(words)
        elif words[0] == "bitwidth" and _is_option(words):
            _check_bitwidth(words)
        else:
            self._entry(line)

    def _comment(self, line: str) -> None:
        if match := _BINS.fullmatch(line):
            self.bins = int(match[1])
        elif match := _SAMPLES.fullmatch(line):
            self.samples = int(match[1])
        elif match := _MEANS.fullmatch(line):
            self._mean(int(match[1]), match[2])

    def _mean(self, count: int, rest: str) -> None:
        words = rest.split(None, count)
        if len(words) != count + 1:
            raise InputError(f"a line of means needs {count} numbers and a layer name")
        self.means[_checked_name(words[-1])] = tuple(map(_number, words[:-1]))

    def _weight(self, words: list[str]) -> None:
        if len(words) < 3:
            raise InputError("a weight line needs a layer name and thresholds")
        values = tuple(map(_number, words[2:]))
        if min(values) < 0:
            raise InputError("a weight threshold is negative")
        self.weights[_checked_name(words[1])] = values

    def _entry(self, line: str) -> None:
        name, values = _fields(line)
        name = _checked_name(name)
        threshold = values[0]
        low, high = values[1:] or (-threshold, threshold)
        entry = Threshold(threshold, low, high)
        if self.entries.setdefault(name, entry) != entry:
            raise InputError(
                f"layer {name!r} stands twice with different values", fix="keep one of the two"
            )


def _fields(line: str) -> tuple[str, list[float]]:
    """Name and the one or three numbers of a line. A name may hold blanks before three."""
    four = line.rsplit(None, 3)
    if len(four) == 4 and all(map(_NUMBER.fullmatch, four[1:])):
        return four[0], [_number(word) for word in four[1:]]
    words = line.split()
    if len(words) == 2:
        return words[0], [_number(words[1])]
    raise InputError(f"not understood: {_shown(line)}")


def _is_option(words: list[str]) -> bool:
    """Whether a line that begins with `weight` or `bitwidth` is not of a layer so named."""
    return not (len(words) in (2, 4) and all(map(_NUMBER.fullmatch, words[1:])))


def _check_bitwidth(words: list[str]) -> None:
    if len(words) != 3 or words[2] != "8":
        raise InputError("only the bit width 8 is supported", fix="remove the line")


def _number(word: str) -> float:
    if not _NUMBER.fullmatch(word):
        raise InputError(f"{_shown(word)} is not a number")
    return float(word)


def _checked_name(name: str) -> str:
    if not name.isprintable():
        raise InputError(f"a layer name holds unprintable characters: {_shown(name)}")
    return name


def _writable(name: str, *, word: bool = False) -> str:
    """The name, if a reader would find the very same name in the line."""
    blanks = len(name.split()) != 1 if word else name != name.strip() or not name
    if blanks or not name.isprintable() or name.startswith(("#", "weight ", "bitwidth ")):
        raise InputError(
            f"the layer name {_shown(name)} cannot stand in a calibration table",
            fix="rename the layer in the model",
        )
    return name


def _format(value: float) -> str:
    """Seven decimals as the vendor writes; small numbers keep eight significant digits."""
    return f"{value:.7f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.7e}"


def format_mean(value: float) -> str:
    """A mean as it stands in a table."""
    return f"{value:.7g}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_FILE:
            raise InputError("too large for a calibration table", where=str(path), fix=_EXAMPLE)
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        why = f"cannot read the calibration table: {error.strerror or error}"
        raise InputError(why, where=str(path), fix="make one with `cvi calibrate`") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError("not a text", where=f"{path}, line {line}", fix=_EXAMPLE) from None
