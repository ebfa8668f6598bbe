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


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        ({"model": "qwen2.5-coder-7b"}, "model=qwen2.5-coder-7b"),
        ({"engine": "vllm"}, "engine=vllm"),
        ({"engine": "vllm", "model": "mine"}, "engine=vllm model=mine"),
        ({}, ""),
        ({"engine": "openvino", "model": "qwen2.5-coder-0.5b-instruct"}, ""),
    ],
)
def test_rates_of_another_engine_or_model_are_used_with_a_word(
    tmp_path: Path, measured: dict[str, str], said: str
) -> None:
    rates = Rates(hardware="a machine", sampled_tokens_per_s=Range.exactly(300), **measured)
    write_rates(rates, tmp_path / "rates.yaml")
    told = json.loads(
        ucoder(tmp_path, "plan", "demo", "--rates", f"{tmp_path}/rates.yaml", "--json").stdout
    )
    lines = [line for line in told["sentences"] if "expect other hours" in line]
    assert len(lines) == bool(said) and said in "".join(lines)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xfe\x00", "not a text file"), (b"hardware: a\nhardware: b\n", "given twice"),
     (b"hardware: [", "not valid YAML"), (b"", "holds no rates")],
)  # fmt: skip
def test_a_rates_file_that_cannot_be_read_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "rates.yaml").write_bytes(content)
    done = ucoder(tmp_path, "plan", "demo", "--rates", f"{tmp_path}/rates.yaml")
    assert done.returncode == 1
    assert message in done.stderr and "Traceback" not in done.stderr
