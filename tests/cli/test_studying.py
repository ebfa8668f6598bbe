"""`ucoder study` refuses options that would have no effect."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ucoder.cli.studying import study


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["selection", "FILE", "--seed", "3"], "study selection draws nothing at random"),
        (["coverage", "FILE", "-t", "1"], "is a file of samples, no run"),
        (["samples", "FOLDER", "--cache", "x"], "is a run, which has its own"),
    ],
)
def test_an_option_without_effect_is_refused(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "samples.jsonl").write_text("{}\n")
    places = {"FILE": str(tmp_path / "samples.jsonl"), "FOLDER": str(tmp_path)}
    done = CliRunner().invoke(
        study, [places.get(word, word) for word in arguments], env={"COLUMNS": "400"}
    )
    assert done.exit_code == 2
    assert message in done.output
