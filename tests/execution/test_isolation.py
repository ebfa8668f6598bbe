"""What bubblewrap hides, beyond what the attacks of `test_attacks.py` try on every provider."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .conftest import Sandbox


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


def test_a_program_sees_itself_and_its_worker_only(isolated: Sandbox) -> None:
    pids = isolated.value("import os\nreturn [int(p) for p in os.listdir('/proc') if p.isdigit()]")
    assert len(eval(pids)) <= 3
