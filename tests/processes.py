"""Starting commands in processes of their own."""

from __future__ import annotations

import signal


def interruptible() -> None:
    """For `preexec_fn`: heed SIGINT even if the tests themselves run where it is ignored, as
    commands in the background of a script do."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
