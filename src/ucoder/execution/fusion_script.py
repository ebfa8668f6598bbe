"""What travels to a SandboxFusion server with a program, and how its answers are read.

The answers' file was in the hands of the program that it tells of: whatever it holds, what comes
out of here is bounded, and `replies` checks the records.
"""

from __future__ import annotations

import io
import zipfile
from functools import cache
from pathlib import Path
from typing import Final

from ucoder.execution.child import records, remote
from ucoder.execution.child.records import HEADER
from ucoder.execution.fusion_server import ServerFailed, ServerRun
from ucoder.execution.replies import MalformedReply, Reply

BOOTSTRAP: Final = (
    "import os, sys\n"
    f"sys.path.insert(0, os.path.join(os.getcwd(), {remote.ARCHIVE!r}))\n"
    "from ucoder.execution.child.remote import main\n"
    "main()\n"
)

_HERE: Final = Path(__file__).resolve().parent
_CHILD: Final = ("descendants", "judge", "records", "remote", "runner", "trial", "watch")
# Without these a ucoder that the server has installed would be found instead.
_PACKAGES: Final = ("", "execution/", "execution/canonical/", "execution/child/")


def shipped_files() -> list[Path]:
    """The files of this project that run on the server, under its interpreter."""
    canonical = [path for path in (_HERE / "canonical").glob("*.py") if path.stem != "__init__"]
    return sorted(canonical) + [_HERE / f"child/{name}.py" for name in _CHILD]


@cache
def archive() -> bytes:
    """What the script imports, packed; the server's interpreter reads it as it is."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as packer:
        for package in _PACKAGES:
            packer.writestr(f"ucoder/{package}__init__.py", "")
        for path in shipped_files():
            packer.write(path, f"ucoder/execution/{path.relative_to(_HERE)}")
    return packed.getvalue()


def one_script(source: str, tests: str) -> str:
    """A script that runs the program, then its tests, in one namespace.

    Each part is compiled by itself, so that a program which ends in the middle of a string or a
    bracket does not swallow its tests.
    """
    return "".join(f"exec(compile({text!a}, '<program>', 'exec'))\n" for text in (source, tests))


def without_token(run: ServerRun, token: str) -> bytes:
    """The answers, if they can be ours.

    Raises:
        ServerFailed: The script did not come to its first line of work, or failed by itself.
    """
    begun = run.answers.startswith(token.encode())
    if not begun and not run.timed_out and run.return_code is not None and run.return_code < 0:
        return b""  # killed at once
    if not begun or run.return_code == 1:
        ending = "timed out" if run.timed_out else f"exit status {run.return_code}"
        raise ServerFailed(f"the script did not run ({ending}): {run.errors}".rstrip(": "))
    return run.answers[len(token) :]


def taken_apart(data: bytes, n_inputs: int, output_limit: int) -> tuple[bytes, int, Reply | None]:
    """Split an answers' file into the records of calls, their number, and the end.

    A file may stop anywhere: what is incomplete is left out. The texts are checked later.

    Raises:
        MalformedReply: It holds what no honest script writes.
    """
    at, n_answers = 0, 0
    longest = max(output_limit, records.MAX_DETAIL)
    while len(data) - at >= HEADER.size:
        kind, n_text, n_changed, wall, cpu = HEADER.unpack_from(data, at)
        if max(n_text, n_changed) > longest:
            raise MalformedReply("a record is too long")
        middle = at + HEADER.size + n_text
        after = middle + n_changed
        if after > len(data):
            break
        if kind == remote.END:
            texts = data[at + HEADER.size : middle], data[middle:after]
            if after != len(data) or not n_text or not all(text.isascii() for text in texts):
                raise MalformedReply("the end is damaged")
            detail, leftovers = texts[0][1:].decode(), texts[1].decode()
            end = Reply(texts[0][:1], False, cpu, wall, detail, leftovers, n_answers, b"")
            return data[:at], n_answers, end
        if kind not in records.CALLS or n_answers == n_inputs:
            raise MalformedReply("a record is out of place")
        at, n_answers = after, n_answers + 1
    return data[:at], n_answers, None


def ending(run: ServerRun) -> str:
    """Name a script's exit status, or the signal that it died of."""
    code = run.return_code or 0
    # A shell reports a signal as 128 and its number.
    number = -code if code < 0 else code - 128 if 128 < code < 193 else 0
    return f"signal {number}" if number else f"exit status {code}"
