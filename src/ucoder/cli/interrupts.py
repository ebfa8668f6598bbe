"""Ctrl-C and SIGTERM: a command ends within two seconds and leaves no process behind.

The first signal ends it in good order: its work is cancelled, its engine and sandbox are closed.
Where that takes longer than `PATIENCE_S` (a library that loads weights does not stop for anybody),
or at a second signal, all processes below this one are killed and it ends at once. Files are whole
or absent (`ucoder.files`), so what is lost is the work in flight and nothing else.
"""

from __future__ import annotations

import ctypes
import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any, Final, TypeVar

from ucoder.visible import visible

T = TypeVar("T")

PATIENCE_S: Final = 1.2
"""How long a command may take to end in good order."""


class Interrupts:
    """Handles the signals that ask this process to end.

    Attributes:
        go_on: The command that continues what was interrupted; the one that was typed, until a
            command knows a better one.
    """

    def __init__(self) -> None:
        self.go_on = ["ucoder", *sys.argv[1:]]
        self._received = 0
        self._is_ending = False
        self._cancel: Callable[[], object] | None = None

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals in the block; an interrupted block is the end of this process."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as in a script's background
                signal.signal(number, self._on_signal)
        try:
            yield
        finally:
            if self._received:
                with suppress(OSError, ValueError):
                    sys.stdout.flush()
                self._end()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run asynchronous work to its end; like `asyncio.run`, but SIGTERM cancels it as well."""
        import asyncio  # not before the signals are handled

        async def cancellable() -> T:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            assert task is not None
            self._cancel = partial(loop.call_soon_threadsafe, task.cancel)
            try:
                return await work
            finally:
                self._cancel = lambda: None  # the loop is closing already

        try:
            return asyncio.run(cancellable())
        finally:
            self._cancel = None
            if self._received:
                raise KeyboardInterrupt

    def hint(self) -> str:
        """How to continue."""
        return f"Go on with: {visible(shlex.join(self.go_on))}"

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._received:
            self._end()
        self._received = number
        # From here on nobody wants to read what complains of being ended.
        logging.disable()
        sys.unraisablehook = lambda _: None
        threading.excepthook = lambda _: None
        watch = threading.Timer(PATIENCE_S, self._end)
        watch.daemon = True
        watch.start()
        if self._cancel is None:
            raise KeyboardInterrupt
        self._cancel()

    def _end(self) -> None:
        """Say how to continue, kill every process below this one, and end this process."""
        if self._is_ending:  # in another thread, or where this signal came in between
            return
        self._is_ending = True
        with suppress(OSError):  # not with a console: whatever is interrupted may hold its lock
            cursor = "\x1b[?25h\n" if os.isatty(2) else ""
            told = f"{cursor}stopped; what is finished is on disk. {self.hint()}\n"
            encoding = getattr(sys.__stderr__, "encoding", None) or "utf-8"
            os.write(2, told.encode(encoding, "replace"))
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # that was the last line
        with suppress(OSError):
            if sys.platform == "linux":
                _kill_descendants()
        os._exit(128 + self._received)


def _kill_descendants() -> None:
    """Kill all, while no other thread of this process can start another one.

    A child of this process does the killing. The wait for it holds the interpreter's lock, which
    is not given away afterwards either: the next statement ends this process.
    """
    from ucoder.execution.child import descendants  # not before the signals are handled

    descendants.adopt_orphans()
    wait_with_lock = ctypes.PyDLL(None).waitpid
    sys.setswitchinterval(60)
    root = os.getpid()
    killer = os.fork()
    if not killer:
        try:
            descendants.kill_below(root)
        finally:
            os._exit(0)
    wait_with_lock(killer, None, 0)


INTERRUPTS: Final = Interrupts()
"""Those of this process."""
