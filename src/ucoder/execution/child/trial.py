"""The worker's side of a program and its tests: two forks, one verdict."""

from __future__ import annotations

import os
from typing import Any

from ucoder.execution.child import judge
from ucoder.execution.child.watch import Watch


def run_trial(
    watch: Watch, requests: int, n_bytes: int, reader: Any, entry_point: str | None = None
) -> bool:
    """Run a program against a test script that waits in the parent's pipe.

    Args:
        watch: Prepared for the program; its status is the verdict afterwards.
        requests: The parent's pipe. The worker never reads the script, see `judge`.
        n_bytes: The script's length.
        reader: The module that reads canonical text.
        entry_point: The function under test, where the caller named it.

    Returns:
        Whether the script was taken out of the pipe; where not, the worker is of no more use.
    """
    call_read, call_write = os.pipe()
    answer_read, answer_write = os.pipe()
    program = watch.fork(
        lambda: judge.serve(watch.job, call_read, answer_write), (call_write, answer_read)
    )
    for descriptor in (call_read, answer_write):
        os.close(descriptor)
    verdict_read, verdict_write = os.pipe()
    judging = watch.fork(
        lambda: judge.judge(
            watch.job,
            entry_point,
            reader,
            requests,
            n_bytes,
            call_write,
            answer_read,
            verdict_write,
        ),
        (verdict_read,),
        keep=requests,
    )
    for descriptor in (call_write, answer_read, verdict_write):
        os.close(descriptor)
    try:
        end, how = watch.follow(judging, verdict_read)
    finally:
        os.close(verdict_read)
        watch.reap(program)
    watch.conclude(end, how)
    return watch.loaded
