"""`ucoder plan` and `ucoder doctor rates` as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ucoder.config import load_config
from ucoder.planning.assumptions import Range
from ucoder.planning.rates import Rates, hardware_name, kept_rates_path, write_rates

STATED = ("--tokens-per-s", "15000-25000", "--programs-per-s", "5000",
          "--training-tokens-per-s", "40000")  # fmt: skip


def ucoder(cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "UCODER_CACHE": str(cache), "COLUMNS": "160"}
    return subprocess.run([sys.executable, "-m", "ucoder", *arguments], capture_output=True,
                          text=True, env=environment, check=False)  # fmt: skip


def test_a_plan_from_stated_rates_says_hours(tmp_path: Path) -> None:
    done = ucoder(tmp_path, "plan", "paper-7b", *STATED)
    assert done.returncode == 0, done.stderr
    assert "as stated: about" in done.stdout and "hours" in done.stdout
    assert "most of it sampling and running solutions" in done.stdout


def test_without_rates_counts_are_told_and_hours_are_not(tmp_path: Path) -> None:
    done = ucoder(tmp_path, "plan", "demo", "--json")
    told = json.loads(done.stdout)
    assert told["forecasts"] == []
    assert "`ucoder doctor rates`" in told["sentences"][0]
    assert {work["stage"] for work in told["expected"]["stages"]} >= {"problems", "solutions"}


def test_rates_that_were_kept_for_this_machine_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UCODER_CACHE", str(tmp_path))
    path = kept_rates_path(hardware_name(), load_config("demo"))
    write_rates(Rates(hardware="kept here", sampled_tokens_per_s=Range.exactly(300)), path)
    told = json.loads(ucoder(tmp_path, "plan", "demo", "--json").stdout)
    assert [one["rates"]["hardware"] for one in told["forecasts"]] == ["kept here"]
    other = json.loads(ucoder(tmp_path, "plan", "demo", "model=other", "--json").stdout)
    assert other["forecasts"] == []


def test_several_rates_make_a_column_each(tmp_path: Path) -> None:
    for name in ("slow", "fast"):
        write_rates(Rates(hardware=f"the {name} one"), tmp_path / f"{name}.yaml")
    options = [part for name in ("slow", "fast") for part in ("--rates", f"{tmp_path}/{name}.yaml")]
    done = ucoder(tmp_path, "plan", "demo", *options, "--tokens-per-s", "500")
    assert "the slow one" in done.stdout and "the fast one" in done.stdout
    assert "unknown" in done.stdout


@pytest.mark.parametrize("rate", ["0", "fast", "5-2", "-3", "inf", "1-2-3"])
def test_a_stated_rate_that_is_none_is_refused(tmp_path: Path, rate: str) -> None:
    done = ucoder(tmp_path, "plan", "demo", f"--tokens-per-s={rate}")
    assert done.returncode == 1
    assert "ConfigError" in done.stderr and "LOW-HIGH" in done.stderr


def test_overrides_of_a_finished_run_are_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "manifest.json").write_text("{}")
    done = ucoder(tmp_path, "plan", str(run), "solutions.n=3")
    assert done.returncode == 1 and "settled" in done.stderr


def test_a_scripted_engine_has_no_rate_to_measure(tmp_path: Path) -> None:
    done = ucoder(tmp_path, "doctor", "rates", "--config", "scripted")
    assert done.returncode == 1 and "nothing" in done.stderr
    assert ucoder(tmp_path, "doctor", "--training").returncode == 2
