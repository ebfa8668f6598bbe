"""Runs that begin with the samples of another one, and what is known of known answers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ucoder import Run, load_config, run_pipeline, summarise
from ucoder.changes import check_taking, take
from ucoder.cli.app import app
from ucoder.cli.exporting import export_examples
from ucoder.components import Components
from ucoder.consensus.selectors import Rule
from ucoder.engines.protocol import Engine
from ucoder.errors import ConfigError, RunError, RunExists
from ucoder.evaluation.benchmarks import known_answers
from ucoder.execution.protocol import Executor
from ucoder.models import Model
from ucoder.requirements import check_requirements
from ucoder.studies.pools import pools_of_run
from ucoder.studies.tasks import tasks_of

from .fault_tolerance.comparison import tables

SMALL = [
    "problems.n=4", "solutions.n=12", "test_inputs.n=10", "consolidation.iterations=1",
    "evaluation.benchmarks=[]",
]  # fmt: skip

ARMS = {
    "ucoder": ["solutions.selector=consensus"],
    "random": ["solutions.selector=random"],
    "cluster": ["solutions.selector=cluster"],
    "low_perplexity": ["solutions.selector=low_perplexity"],
    "success_rate": ["solutions.selector=success_rate"],
    "ssd": ["consolidation.pairs=all"],
    "runnable": ["consolidation.pairs=runnable"],
}
"""Table 3 of the paper, and self-distillation, as docs/training.md lists them."""


class Without(Components):
    """Components without an engine and a sandbox."""

    def engine(self, model: Model, exports: Path | None = None) -> Engine:
        raise AssertionError("an engine was opened")

    def executor(self, needs: object = None) -> Executor:
        raise AssertionError("a sandbox was opened")


async def finished(path: Path, *overrides: str) -> Run:
    run = Run.create(path, load_config("scripted", [*SMALL, *overrides]))
    await run_pipeline(run)
    return Run.open(path)


def taken(source: Run, output: Path, *overrides: str) -> Run:
    return take(source, load_config(str(source.path), overrides), output)


async def test_every_arm_of_table_3_and_ssd_costs_no_sample(tmp_path: Path) -> None:
    base = await finished(tmp_path / "base", "solutions.selector=agreement")
    pairs = {}
    for name, overrides in ARMS.items():
        arm = taken(base, tmp_path / name, *overrides)
        await run_pipeline(arm, Without(arm.config))
        assert summarise(arm).missing == () and arm.checkpoints.keys()
        assert {s.selector for s in arm.selections(0).rows()} == {arm.config.solutions.selector}
        pairs[name] = arm.examples(0).rows()
        output = tmp_path / f"{name}.jsonl"
        assert export_examples(arm.path, output, None) == len(pairs[name])
    ended = [c for c in base.candidates(0).rows() if c.finish_reason == "stop"]
    assert len(pairs["ssd"]) == len(ended) == 4 * 12
    assert 4 < len(pairs["runnable"]) < len(pairs["ssd"])
    assert all(len(pairs[name]) <= 4 for name in list(ARMS)[:5])
    chosen = {tuple(pair.candidate_id for pair in pairs[name]) for name in list(ARMS)[:5]}
    assert len(chosen) > 1, "the arms choose differently"


async def test_an_arm_with_the_same_settings_becomes_the_run_that_it_was_taken_from(
    tmp_path: Path,
) -> None:
    base = await finished(tmp_path / "base")
    arm = taken(base, tmp_path / "arm")
    await run_pipeline(arm, Without(arm.config))
    assert tables(arm.path) == tables(base.path)
    manifest = Run.open(arm.path).manifest
    assert manifest.taken_from["run"] == str(base.path)
    assert len(manifest.taken_from["sha256"]) == 64 and manifest.engine == base.manifest.engine


async def test_an_arm_that_was_killed_is_resumed_to_the_same_records(tmp_path: Path) -> None:
    base = await finished(tmp_path / "base")
    arms = [taken(base, tmp_path / name, "solutions.selector=cluster") for name in "ab"]
    await run_pipeline(arms[0])
    await run_pipeline(arms[1])
    (arms[1].path / "tables" / "examples" / "iteration-0" / "examples.parquet").unlink()
    sorted((arms[1].path / "tables" / "selections" / "iteration-0").iterdir())[0].unlink()
    await run_pipeline(Run.open(arms[1].path), Without(arms[1].config))
    assert tables(arms[0].path) == tables(arms[1].path)


async def test_settings_that_samples_depend_on_are_refused_by_name(tmp_path: Path) -> None:
    base = await finished(tmp_path / "base")
    changed = {
        "seed": "3", "problems.n": "2", "problems.source": "known-answers", "solutions.n": "9",
        "solutions.sampling.temperature": "0.5", "test_inputs.n": "9", "ratings.threshold": "1",
        "executor.call_timeout_s": "0.2", "model_kind": "base",
    }  # fmt: skip
    overrides = [f"{key}={value}" for key, value in changed.items()]
    config = load_config(
        str(base.path), [*overrides, "solutions.tau=2", "evaluation.contamination.exclude=false"]
    )
    with pytest.raises(ConfigError) as refused:
        take(base, config, tmp_path / "arm")
    lines = [line.split(":")[0].strip() for line in str(refused.value).splitlines()[1:-1]]
    assert lines == sorted(changed) and not (tmp_path / "arm").exists()


async def test_every_setting_that_decides_about_the_selection_alone_may_be_another_one(
    tmp_path: Path,
) -> None:
    base = await finished(tmp_path / "base")
    values = {
        "selector": "agreement", "rho": 0.1, "tau": 2, "inputs": "all", "min_input_support": 0.3,
        "min_probability": 0.1, "raising_may_win": True, "min_share": 0.1,
    }  # fmt: skip
    told_by_thresholds = {"is_rho_set", "is_tau_set"}
    assert {field.name for field in dataclasses.fields(Rule)} == values.keys() | told_by_thresholds
    for key, value in values.items():
        arm = taken(base, tmp_path / key, f"solutions.{key}={value}")
        assert getattr(arm.config.solutions, key) == value


async def test_where_a_rule_decided_what_was_sampled_another_rule_is_refused(
    tmp_path: Path,
) -> None:
    stopping = "solutions.stopping={min_candidates: 4}"
    base = await finished(tmp_path / "base", stopping)
    with pytest.raises(ConfigError, match=r"solutions.tau: it decided how many candidates"):
        taken(base, tmp_path / "arm", "solutions.tau=2")


async def test_only_a_run_that_finished_stage_5_can_be_taken_from(tmp_path: Path) -> None:
    empty = Run.create(tmp_path / "empty", load_config("scripted", SMALL))
    with pytest.raises(RunError, match=r"has not finished stage 5.*ucoder resume"):
        check_taking(empty, empty.config)
    base = await finished(tmp_path / "base")
    sorted((base.path / "tables" / "executions" / "iteration-0").iterdir())[0].unlink()
    with pytest.raises(RunError, match="has not finished stage 5"):
        taken(base, tmp_path / "arm")
    assert not (tmp_path / "arm").exists()


async def test_a_folder_that_holds_something_is_not_taken_into(tmp_path: Path) -> None:
    base = await finished(tmp_path / "base")
    with pytest.raises(RunExists):
        taken(base, base.path)
    (tmp_path / "new").mkdir()
    assert taken(base, tmp_path / "new").attempts.keys()


async def test_answers_of_the_first_model_are_taken_where_they_are_asked_alike(
    tmp_path: Path,
) -> None:
    asked = ["evaluation.benchmarks=[known-answers]", "evaluation.n_tasks=2"]
    base = await finished(tmp_path / "base", *asked, "consolidation.provider=none")
    same = taken(base, tmp_path / "same", "evaluation.contamination.exclude=false")
    assert len(same.answers("known-answers", 0).rows()) == 2
    await run_pipeline(same, Without(same.config))
    other = taken(base, tmp_path / "other", "evaluation.n_tasks=3")
    assert not other.answered() and not other.scored()


def test_the_command_takes_a_run_and_settings_in_any_order(tmp_path: Path) -> None:
    def ucoder(*arguments: str) -> str:
        return str(CliRunner().invoke(app, list(arguments)).exception or "")

    base, arm = str(tmp_path / "base"), tmp_path / "arm"
    assert not ucoder("run", "scripted", *SMALL, "-o", base)
    rule = "solutions.selector=random"
    assert not ucoder("run", "--from", base, rule, "solutions.rho=0.5", "-o", str(arm))
    config = Run.open(arm).config.solutions
    assert (config.selector, config.rho) == ("random", 0.5)
    assert not ucoder("run", base, rule, "--from", base, "-o", f"{arm}-2")
    assert "seed" in ucoder("run", "--from", base, "seed=9", "-o", f"{arm}-3")
    assert not Path(f"{arm}-3").exists()


async def test_an_arm_needs_no_topics_and_no_sandbox_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = [*SMALL, "consolidation.provider=none", f"problems.topics={tmp_path / 'gone'}"]
    config = load_config("scripted", overrides)
    with pytest.raises(ConfigError, match="one topic a line"):
        await check_requirements(Components(config))
    monkeypatch.setattr("ucoder.requirements.open_executor", None)
    await check_requirements(Components(config), has_samples=True)


# Known answers.

KNOWN = ["problems.source=known-answers", "problems.n=2"]
EXCLUDED = ["consolidation.provider=none", *KNOWN]


@pytest.fixture
def script(tmp_path: Path) -> str:
    """Right and wrong programs for the first two known answers."""
    rules = []
    for task in known_answers.load().tasks[:2]:
        name, n = task.entry_point, len(task.fields["inputs"][0])
        calls = [f"{name}{text} == 0" for text in task.fields["input_texts"][:6]]
        asserts = "\nassert ".join(calls).removeprefix(f"{name}(")
        wrong = f"def {name}({', '.join(f'x{i}' for i in range(n))}):\n    return 'wrong'\n"
        solutions = [wrong, wrong, f"{task.fields['reference'].strip()}\n"]
        rules += [
            {"when": ["test cases", f"assert {name}("], "answers": [f"{asserts}\n```"]},
            {"when": ["Write a Python function that solves", name], "answers": solutions},
        ]
    path = tmp_path / "script.yaml"
    path.write_text(json.dumps({"rules": rules}))
    return f"engine.script={path}"


async def test_a_run_on_known_answers_knows_which_programs_are_right(
    tmp_path: Path, script: str
) -> None:
    run = await finished(tmp_path / "run", *EXCLUDED, script)
    assert {judgement.is_right for judgement in run.judgements(0).rows()} == {True, False}
    tasks = list(tasks_of(pools_of_run(run, 0)))
    assert len(tasks) == 2 and all(0 < task.share_right() < 1 for task in tasks)
    # The wrong program has the majority, which no truth keeps from being selected.
    right = {j.program_id for j in run.judgements(0).rows() if j.is_right}
    assert not any(one.program_id in right for one in run.selected(0))


async def test_the_oracle_arm_learns_a_right_program_wherever_there_is_one(
    tmp_path: Path, script: str
) -> None:
    base = await finished(tmp_path / "base", *EXCLUDED, script)
    asked = ["consolidation.pairs=oracle", "evaluation.contamination.exclude=false"]
    arm = taken(base, tmp_path / "arm", *asked)
    await run_pipeline(arm, Without(arm.config))
    right = {j.program_id for j in arm.judgements(0).rows() if j.is_right}
    learnt = {pair.candidate_id for pair in arm.examples(0).rows()}
    programs = {c.program_id for c in arm.candidates(0).rows() if c.id in learnt}
    assert len(learnt) == 2 and programs <= right


def test_the_oracle_is_refused_where_nothing_is_known() -> None:
    with pytest.raises(ConfigError, match=r"pairs=oracle chooses by reference programs"):
        load_config("scripted", ["consolidation.pairs=oracle"])


async def test_a_study_of_known_answers_gives_pass_at_1(tmp_path: Path, script: str) -> None:
    run = await finished(tmp_path / "run", *EXCLUDED, script)
    arguments = ["study", "selection", str(run.path), "-o", str(tmp_path / "study"), "--json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exception is None and "pass_at_1" in done.stdout
