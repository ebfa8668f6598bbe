"""What bubblewrap hides, beyond what the attacks of `test_attacks.py` try on every provider."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ucoder.execution import OutcomeKind, bubblewrap, open_executor
from ucoder.execution.bubblewrap import sandbox_command
from ucoder.execution.payload import SandboxSettings

from .conftest import LIMITS, Sandbox


@pytest.mark.parametrize(
    "path", ["/etc/shadow", "/etc/passwd", "/home", "/var", "/srv", "/opt", "/boot", "/run"]
)
def test_system_files_do_not_exist_in_the_sandbox(isolated: Sandbox, path: str) -> None:
    assert isolated.value(f"import os\nreturn os.path.lexists({path!r})") == "False"


def test_the_users_home_and_this_project_do_not_exist_in_the_sandbox(isolated: Sandbox) -> None:
    secret = Path(__file__)
    assert isolated.value(f"import os\nreturn os.path.exists({str(secret)!r})") == "False"
    home = Path.home()
    # A home may hold the interpreter; then the way to it is there, and nothing beside it.
    prefix = Path(sys.base_prefix).resolve()
    seen = isolated.value(f"import os\nreturn os.path.isdir({str(home)!r})")
    if seen == "True":
        assert prefix.is_relative_to(home)
        listed = isolated.value(f"import os\nreturn os.listdir({str(home)!r})")
        assert listed == repr([prefix.relative_to(home).parts[0]])


async def test_where_no_sandbox_may_mount_a_changed_folder_ends_its_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def without_capabilities(bwrap: str, settings: SandboxSettings) -> tuple[str, ...]:
        command = list(sandbox_command(bwrap, settings))
        at = command.index("--cap-add")
        del command[at : at + 2]
        return tuple(command)

    monkeypatch.setattr(bubblewrap, "sandbox_command", without_capabilities)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # root's sandboxes may not start like this
    change = "import os\ndef f(): os.chmod('/tmp', 0o555)"
    look = "import os\ndef f(): return oct(os.stat('/tmp').st_mode), os.getppid()"
    async with open_executor("bubblewrap", LIMITS, n_workers=1) as executor:
        before = await executor.call(look, "f", ["()"])
        changed = await executor.call(change, "f", ["()"])
        after = await executor.call(look, "f", ["()"])
    assert changed.outcomes[0].kind is OutcomeKind.RETURNED
    assert before.outcomes == after.outcomes
    assert before.outcomes[0].text == "('0o41777', 1)"


def test_a_program_sees_itself_and_its_worker_only(isolated: Sandbox) -> None:
    pids = isolated.value("import os\nreturn [int(p) for p in os.listdir('/proc') if p.isdigit()]")
    assert len(eval(pids)) <= 3
