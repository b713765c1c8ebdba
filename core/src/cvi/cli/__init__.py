"""The command line: one file per command, which parses and calls the public API.

`main` finds the command, imports it, runs it, and is the one place where errors become
messages and exit codes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

from cvi.errors import CviError
from cvi.hookspecs import Command

EXIT_INTERRUPTED = 130
EXIT_PIPE = 141
EXIT_INTERNAL = 70


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    0: done and verified. 1: refused (model, chip, plugin). 2: wrong options or inputs.
    3: a comparison failed. 70: a bug of ours. 130: interrupted. 141: the reader went away.
    """
    from cvi.cli.words import normalised

    words, debug = normalised(sys.argv[1:] if argv is None else argv)
    stop = _Stop()
    try:
        with stop, _warnings_as_lines():
            code = _dispatch(words)
            sys.stdout.flush()
            return code
    except KeyboardInterrupt:
        _fail(debug, "interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _drop_stdout()
        return EXIT_PIPE
    except Exception as error:
        if stop.signal:  # it struck where only another exception could get out
            _fail(debug, "interrupted")
            return 128 + stop.signal
        return _report(debug, error)


def _report(debug: bool, error: Exception) -> int:
    """The message and the exit code of an error."""
    if isinstance(error, CviError):
        _fail(debug, "error", error.why, where=error.where, fix=error.fix, items=_items(error))
        return error.exit_code
    if isinstance(error, OSError):
        where = str(error.filename or "")
        _fail(debug, "error", error.strerror or str(error), where=where, fix="check the path")
        return 1
    if isinstance(error, MemoryError):
        _fail(debug, "error", "not enough memory", fix="use fewer images, or a smaller model")
        return 1
    what = f"{type(error).__name__}: {error}"
    fix = "this is a bug of cvi: please report it with the output of --debug"
    _fail(debug, "internal error", what, fix=fix)
    return EXIT_INTERNAL


def _dispatch(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        return _help()
    if words[0] in ("-V", "--version"):
        return _version()
    from cvi.cli.invoke import invoke

    return invoke(_command(words[0]), words[1:])


def _command(name: str) -> Command:
    """A built-in command without looking at plugins, else a plugin's."""
    from cvi.builtin import COMMANDS

    for command in COMMANDS:
        if command.name == name:
            return command
    from cvi import plugins

    known = plugins.commands()
    if name in known:
        return known[name]
    raise _unknown(name, list(known))


def _unknown(name: str, known: list[str]) -> CviError:
    import difflib

    from cvi.errors import InputError

    near = difflib.get_close_matches(name, known, n=3)
    return InputError(
        f"there is no command {name!r}" + (f", did you mean {' or '.join(near)}?" if near else ""),
        where="cvi",
        fix="`cvi --help` lists the commands, `cvi plugins` the installed plugins",
    )


def _help() -> int:
    """Print the commands: the built-in ones and those of the plugins, importing neither."""
    from cvi import plugins
    from cvi.builtin import COMMANDS

    known = {command.name: command for command in COMMANDS}
    try:
        known |= plugins.commands()
    except CviError as error:
        _fail(False, "warning", error.why, where=error.where, fix=error.fix)
    width = max(map(len, known))
    print("usage: cvi COMMAND [OPTIONS] …    (cvi COMMAND --help explains one)\n")
    print("Compile neural networks for the TPUs of the CV18xx chips.\n\ncommands:")
    for command in known.values():
        print(f"  {command.name:<{width}}  {command.help}")
    print("\noptions of every command:")
    print("  --help     explain the command")
    print("  --debug    print the traceback of an error")
    print("  --version  print the version (without a command)")
    return 0


def _version() -> int:
    from cvi import __version__

    print(f"cvi {__version__}")
    return 0


def _items(error: CviError) -> Sequence[str]:
    return getattr(error, "problems", ())


def _fail(
    debug: bool,
    kind: str,
    why: str = "",
    *,
    where: str = "",
    fix: str = "",
    items: Sequence[str] = (),
) -> None:
    from cvi.cli.console import report

    if debug and sys.exc_info()[0] is not None:
        import traceback

        traceback.print_exc()
    with contextlib.suppress(BrokenPipeError):
        report(kind, why, where=where, fix=fix, items=items)


class _Stop:
    """SIGINT and SIGTERM unwind like exceptions, so that temporary files are removed.

    signal: the one that came, 0 for none. It is remembered because a library that is just
    being imported may turn the exception into one of its own. A signal that the process
    was started to ignore stays ignored.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                # not in the main thread: the host program owns the signals
                with contextlib.suppress(ValueError):
                    self._before[number] = signal.signal(number, self._strike)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _strike(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)


@contextlib.contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Python warnings and the log of "cvi" become one line each on stderr."""
    import logging
    import warnings

    from cvi.cli.console import LineHandler, show_warning

    handler = LineHandler()
    log = logging.getLogger("cvi")
    log.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning
            yield
    finally:
        log.removeHandler(handler)


def _drop_stdout() -> None:
    """Keep the interpreter from failing again when it flushes the closed pipe at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
