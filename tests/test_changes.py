"""Settings that may change when a run is resumed, and those that its records depend on."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ucoder import Run, load_config, run_pipeline
from ucoder.changes import store_settings, with_settings
from ucoder.cli.app import app
from ucoder.config import RunConfig
from ucoder.config.reading import parse_config
from ucoder.errors import ConfigError, RunLocked
from ucoder.records import TopicNode

from .fault_tolerance.comparison import shards, tables

SMALL = [
    "problems.n=3", "evaluation.benchmarks=[]", "solutions.n=8", "test_inputs.n=10",
    "consolidation.iterations=1",
]  # fmt: skip
DATA_ALONE = ["consolidation.provider=none"]


async def finished(path: Path, *overrides: str) -> Run:
    run = Run.create(path, load_config("scripted", [*SMALL, *overrides]))
    await run_pipeline(run)
    return Run.open(path)


async def resumed(run: Run, *overrides: str) -> Run:
    changed = with_settings(run, overrides)
    store_settings(changed)
    await run_pipeline(changed)
    return Run.open(run.path)


async def test_a_finished_run_takes_more_iterations_and_becomes_what_it_would_have_been(
    tmp_path: Path,
) -> None:
    short = await finished(tmp_path / "short")
    before = shards(short.path)
    longer = await resumed(short, "consolidation.iterations=3")
    assert [checkpoint.iteration for checkpoint in longer.checkpoints.rows()] == [0, 1, 2]
    after = shards(longer.path)
    assert {path: after[path] for path in before} == before, "no record changed"
    whole = await finished(tmp_path / "whole", "consolidation.iterations=3")
    assert tables(longer.path) == tables(whole.path)


async def test_a_run_without_training_takes_more_problems_and_more_pairs(tmp_path: Path) -> None:
    small = await finished(tmp_path / "small", *DATA_ALONE)
    pairs = {example.problem_id: example for example in small.examples(0).rows()}
    larger = await resumed(small, "problems.n=5")
    grown = {example.problem_id: example for example in larger.examples(0).rows()}
    assert len(pairs) < len(grown) and pairs.items() <= grown.items()
    whole = await finished(tmp_path / "whole", *DATA_ALONE, "problems.n=5")
    assert tables(larger.path) == tables(whole.path)


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("problems.n=9", "M1 was trained on what the recorded problems gave"),
        ("problems.max_attempts=90", "M1 was trained on what the recorded problems gave"),
        ("seed=1", "problems were made with it already"),
        ("ratings.threshold=3", "problems were made with it already"),
        ("engine.precision=float16", "problems were made with it already"),
        ("test_inputs.n=20", "test inputs were made with it already"),
        ("solutions.selector=agreement", "candidates were sampled and run with it already"),
        ("executor.call_timeout_s=2", "candidates were sampled and run with it already"),
        ("consolidation.learning_rate=0.1", "M1 was trained with it already"),
        ("consolidation.lora={rank: 4}", "M1 was trained with it already"),
        ("consolidation.iterations=0", "iteration 0 has begun; give 1 or more"),
        ("evaluation.benchmarks=[humaneval]", "the problems were compared with these alone"),
        ("evaluation.contamination.exclude=false", "compared with benchmarks already"),
        ("problems.topics={tmp}/topics.txt", "attempts were made at other topics already"),
        ("problems.topics=invented", "attempts were made at other topics already"),
        ("problems.tree.n_twists=2", "problems were made with it already"),
        ("engine.script={tmp}/script.yaml", "problems were made with another model already"),
    ],
)
async def test_a_change_that_records_depend_on_is_refused_with_the_way_to_a_new_run(
    tmp_path: Path, override: str, reason: str
) -> None:
    (tmp_path / "topics.txt").write_text("strings: palindromes\n")
    (tmp_path / "script.yaml").write_text("rules: []\n")
    override = override.replace("{tmp}", str(tmp_path))
    run = await finished(tmp_path / "run")
    before = (run.path / "manifest.json").read_bytes()
    with pytest.raises(ConfigError) as refused:
        with_settings(run, [override, "max_concurrency=2"])
    said = str(refused.value)
    assert reason in said and "max_concurrency:" not in said
    assert f"ucoder run {run.path} " in said and override.split("=")[0] in said
    assert (run.path / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    "override",
    [
        "max_concurrency=2",
        "executor={provider: auto, n_workers: 2, call_timeout_s: 0.3}",
        "scale=ray",
        "evaluation.data={humaneval: /data/HumanEval.jsonl}",
        "engine.server.url=http://localhost:9/v1",
        "consolidation.n_processes=2",
        "engine.max_sequences=7",
        "problems.topics={tmp}/moved.txt",
        "seed=0",
    ],
)
async def test_a_change_of_where_and_how_fast_changes_no_record(
    tmp_path: Path, override: str
) -> None:
    (tmp_path / "topics.txt").write_text("strings: palindromes\nlists: sums\n")
    run = await finished(tmp_path / "run", f"problems.topics={tmp_path / 'topics.txt'}")
    (tmp_path / "topics.txt").rename(tmp_path / "moved.txt")
    assert with_settings(run, [override.replace("{tmp}", str(tmp_path))]).path == run.path


async def test_a_run_may_go_from_invented_topics_to_a_list_before_its_first_attempt_alone(
    tmp_path: Path,
) -> None:
    run = Run.create(tmp_path / "run", load_config("scripted", ["problems.topics=invented"]))
    run.topics.put("000000", [TopicNode(0, "tool usage", "", (), 3, "", 5, None)])
    assert with_settings(run, ["problems.topics=listed"]).config.problems.topics == "listed"
    with pytest.raises(ConfigError, match="problems were made with it already"):
        with_settings(run, ["problems.tree.n_subjects=3"])
    run = await finished(tmp_path / "other", "problems.topics=invented")
    with pytest.raises(ConfigError, match="attempts were made at other topics already"):
        with_settings(run, ["problems.topics=listed"])
    assert with_settings(run, ["max_concurrency=3"]).path == run.path


@pytest.mark.parametrize(
    ("override", "allowed"),
    [
        ("problems.n=4", True),
        ("solutions.n=12", True),
        ("test_inputs.n=20", False),
        ("problems.n=2", False),
        ("consolidation.learning_rate=0.1", True),
        ("evaluation.benchmarks=[mbpp]", True),
        ("model=elsewhere", True),
    ],
)
async def test_what_a_stage_uses_may_change_until_its_first_record(
    tmp_path: Path, override: str, allowed: bool
) -> None:
    finish = await finished(tmp_path / "run")
    for table in ("candidates", "executions", "selections", "examples", "checkpoints", "matches"):
        (finish.path / "tables" / table).rename(tmp_path / table)
    run = Run.open(finish.path)
    if allowed:
        with_settings(run, [override])
    else:
        with pytest.raises(ConfigError, match="records of"):
            with_settings(run, [override])


def test_every_setting_may_change_before_the_first_record(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", load_config("scripted"))
    overrides = ["seed=7", "problems.n=1", "solutions.n=4", "evaluation.n_tasks=3", "model=other"]
    assert with_settings(run, overrides).config.seed == 7


def test_settings_are_not_stored_while_another_process_writes(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", load_config("scripted"))
    changed = with_settings(run, ["max_concurrency=3"])
    with run.writing(), pytest.raises(RunLocked):
        store_settings(changed)
    store_settings(changed)
    assert Run.open(run.path).config.max_concurrency == 3


def test_resume_keeps_settings_only_if_the_run_can_go_on_with_them(tmp_path: Path) -> None:
    path = tmp_path / "run"
    Run.create(path, load_config("scripted", SMALL))

    def resume(*overrides: str) -> str:
        return str(CliRunner().invoke(app, ["resume", str(path), *overrides]).exception or "")

    for wrong, said in {
        "problems.topics=/absent": "one topic a line",
        "evaluation={benchmarks: [humaneval], data: {humaneval: /absent}}": "is not a file",
        "nonsense=1": "unknown key",
    }.items():
        assert said in resume(wrong, "max_concurrency=3")
        assert Run.open(path).config == load_config("scripted", SMALL)
    assert resume("max_concurrency=3") == ""
    assert Run.open(path).config.max_concurrency == 3 and Run.open(path).checkpoints.keys()


async def test_a_new_run_starts_from_the_settings_of_another(tmp_path: Path) -> None:
    run = await finished(tmp_path / "run")
    config = load_config(str(run.path), ["problems.n=2"])
    assert (config.problems.n, config.solutions.n) == (2, 8)
    assert config.model_copy(update={"problems": run.config.problems}) == run.config


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"config": 3}', '{"config": {"model": 1}}'])
def test_a_manifest_that_holds_no_settings_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ConfigError):
        load_config(str(tmp_path))


def test_each_rule_names_settings_that_exist() -> None:
    from ucoder.changes import _RULES

    for key in filter(None, _RULES):
        node: object = parse_config({})
        for part in key.split("."):
            assert hasattr(node, part), f"{key} is not a setting"
            node = getattr(node, part)
    assert isinstance(parse_config({}), RunConfig)
