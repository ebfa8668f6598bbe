"""Samples executed in the real sandbox, kept, and read again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ucoder.config import RunConfig
from ucoder.errors import ConfigError, DamagedShard, RunError
from ucoder.execution.outcomes import Outcome, OutcomeKind, ProgramStatus
from ucoder.execution.protocol import Limits
from ucoder.records import (
    Attempt,
    Candidate,
    Execution,
    FinishReason,
    InputOrigin,
    Interface,
    Parameter,
    Prediction,
    Problem,
    TestInput,
    TestSuite,
)
from ucoder.runs import Run, Table
from ucoder.studies.inputs import (
    InputSettings,
    candidate_shapes,
    choose_shape,
    written_inputs,
)
from ucoder.studies.pools import (
    ExecutedTask,
    PackedTask,
    PoolSettings,
    cached_pools,
    open_pools,
    pools_of_run,
)

SETTINGS = PoolSettings(
    inputs=InputSettings(n=12, n_mutations=8),
    limits=Limits(call_timeout_s=0.2, program_timeout_s=1.0, memory_limit_mib=256),
    check_timeout_s=1.0,
)
ORDINARY = {
    "task_id": "Ordinary/1",
    "prompt": "def double(x: int) -> int:\n    '''Twice x.'''\n",
    "entry_point": "double",
    "candidate_bodies": [
        "    return 2 * x\n",
        "    return x + x\n",
        "    y = 2 * x\n    return y\n",
        "    y = 2 * x\n    return y\n\ndef more():\n",
        "    return x * x\n",
    ],
    "generated_test_texts": [
        "double(2) == 4\nassert double(5) == 10\n",
        "assert double(5) == 10\nassert double(5) == 25\nassert double(-3) == -6\n",
    ],
    "test": "def check(candidate):\n    assert candidate(7) == 14\n    assert candidate(2) == 4\n",
}
UNTYPED = {
    "task_id": "Untyped/2",
    "prompt": "def spread(xs):\n",
    "entry_point": "spread",
    "candidate_bodies": [
        "    return max(xs) - min(xs) if xs else 0\n",
        "    xs = sorted(xs)\n    return xs[-1] - xs[0] if xs else 0\n",
        "    return sum(abs(x) for x in xs)\n",
        "    return False\n",
    ],
    "generated_test_texts": ["\n", "# nothing\n", "\n"],
    "test": "def check(f):\n    assert f([1, 5]) == 4\n    assert f([2]) == f([]) == 0\n",
}
HOSTILE = {
    "task_id": "../Hostile\ud800\n/3",
    "prompt": "def one(x):\n",
    "entry_point": "one",
    "candidate_bodies": [
        "    return x + 1\n",
        "    while True:\n        pass\n",
        "    print('1 2 3')\n    raise SystemExit(0)\n",
        "    import os\n    os._exit(0)\n",
        "    return ((\n",
        "    return '\0'\n",
        "    return '\ud800'\n",
        "    return x + 1\n",
    ],
    "generated_test_texts": ["one(1) == 2\nassert one(0) == 1\nassert one(-1) == 0\0", "\0\ud800("],
    "finish": ["stop"] * 7 + ["length"],
    "test": "assert one(1) == 2\nassert one(3) == 4\n",
}
RECORDS = (ORDINARY, UNTYPED, HOSTILE)


@dataclass
class Recorder:
    """Progress that remembers how many units were there at the start, and what it was told."""

    started: list[tuple[int, int]] = field(default_factory=list)
    n_advances: int = 0

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        self.started.append((total, done))

    def advance(self, stage: str, done: int, **facts: object) -> None:
        self.n_advances += 1

    def end(self, stage: str) -> None: ...

    def message(self, text: str) -> None: ...


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samples") / "samples.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS), "utf-8")
    return path


@pytest.fixture(scope="module")
def executed(samples: Path) -> Path:
    """A cache that holds all three tasks."""
    cache_dir = samples.parent / "executions"
    open_pools(samples, cache_dir, settings=SETTINGS)
    return cache_dir


@pytest.fixture
def cache(executed: Path, tmp_path: Path) -> Path:
    """A copy of that cache, to be damaged."""
    copy = tmp_path / "executions"
    copy.mkdir()
    for shard in executed.glob("*.parquet"):
        (copy / shard.name).write_bytes(shard.read_bytes())
    return copy


@pytest.fixture(scope="module")
def pools(samples: Path, executed: Path) -> list[ExecutedTask]:
    return list(cached_pools(samples, executed, settings=SETTINGS))


def outcomes_of(pool: ExecutedTask, index: int) -> Sequence[Outcome]:
    """What the program of one candidate came to."""
    program_id = pool.candidates[index].program_id
    return next(e.outcomes for e in pool.executions if e.program_id == program_id)


def verdicts(pool: ExecutedTask) -> list[bool | None]:
    return [pool.truth()[candidate.program_id] for candidate in pool.candidates]


def test_every_execution_answers_every_input(pools: list[ExecutedTask]) -> None:
    assert [pool.entry_point for pool in pools] == ["double", "spread", "one"]
    for pool in pools:
        assert pool.executions and pool.inputs
        assert all(len(e.outcomes) == len(pool.inputs) for e in pool.executions)


def test_equal_programs_run_once_in_the_order_of_the_samples(pools: list[ExecutedTask]) -> None:
    ids = [candidate.program_id for candidate in pools[0].candidates]
    assert ids[2] == ids[3] and len(set(ids)) == 4
    assert [e.program_id for e in pools[0].executions] == list(dict.fromkeys(ids))
    assert len(pools[0].correct) == 4


def test_truth_comes_from_the_test_script_and_not_from_the_majority(
    pools: list[ExecutedTask],
) -> None:
    assert verdicts(pools[0]) == [True, True, True, True, False]
    assert verdicts(pools[1]) == [True, True, False, False]
    assert [pool.n_correct() for pool in pools] == [4, 2, 1]


def test_inputs_are_the_most_frequent_calls_with_every_predicted_output(
    pools: list[ExecutedTask],
) -> None:
    inputs = pools[0].inputs
    assert [i.arguments for i in inputs[:3]] == ["(5,)", "(2,)", "(-3,)"]
    assert inputs[0].predictions == (Prediction("10", 2), Prediction("25", 1))
    assert {i.origin for i in inputs[:3]} == {InputOrigin.MODEL}


def test_annotated_arguments_get_boundary_values_before_mutants(pools: list[ExecutedTask]) -> None:
    origins = [i.origin for i in pools[0].inputs[3:]]
    n = SETTINGS.inputs.n_boundary
    assert set(origins[:n]) == {InputOrigin.BOUNDARY}
    assert set(origins[n:]) == {InputOrigin.MUTATION}
    assert len({i.arguments for i in pools[0].inputs}) == len(pools[0].inputs)


def test_without_calls_and_annotations_argument_types_are_found_by_trial(
    pools: list[ExecutedTask],
) -> None:
    inputs = pools[1].inputs
    assert {i.origin for i in inputs} == {InputOrigin.BOUNDARY, InputOrigin.MUTATION}
    assert all(i.arguments.startswith("([") and i.predictions == () for i in inputs)
    honest = outcomes_of(pools[1], 0)
    assert sum(outcome.executed for outcome in honest) > len(inputs) / 2
    assert len({outcome.answer for outcome in honest}) > 2


def test_hostile_programs_affect_only_themselves(pools: list[ExecutedTask]) -> None:
    pool = pools[2]
    assert verdicts(pool) == [True] + [False] * 7
    assert all(outcome.executed for outcome in outcomes_of(pool, 0)[:3])
    assert {o.kind for o in outcomes_of(pool, 1)} == {OutcomeKind.TIMED_OUT}
    for index in (2, 3):  # whatever it printed, and however it left
        assert not any(outcome.executed for outcome in outcomes_of(pool, index))
    status = {e.program_id: e.status for e in pool.executions}
    for index in (4, 5, 6):
        assert status[pool.candidates[index].program_id] is ProgramStatus.DOES_NOT_COMPILE


def test_a_truncated_candidate_is_wrong_and_is_not_run(pools: list[ExecutedTask]) -> None:
    cut = pools[2].candidates[7]
    assert cut.program_id == "" and "" not in {e.program_id for e in pools[2].executions}
    assert pools[2].truth()[cut.program_id] is False


def test_a_complete_cache_is_read_without_a_sandbox(
    samples: Path, executed: Path, pools: list[ExecutedTask]
) -> None:
    progress = Recorder()
    again = open_pools(
        samples, executed, settings=SETTINGS, provider="no such sandbox", progress=progress
    )
    # As text, because the sums of log-probabilities are NaN, which equals nothing.
    assert [repr(pool) for pool in again] == [repr(pool) for pool in pools]
    assert progress.started == []


def test_an_incomplete_cache_needs_a_sandbox(samples: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such sandbox"):
        open_pools(samples, tmp_path, settings=SETTINGS, provider="no such sandbox")


def test_a_resumed_execution_runs_only_the_missing_tasks(
    samples: Path, cache: Path, pools: list[ExecutedTask]
) -> None:
    lost, *kept = sorted(cache.glob("*.parquet"))
    stamps = [path.stat().st_mtime_ns for path in kept]
    lost.unlink()
    (cache / ".half-written.parquet.1.tmp").write_bytes(b"of a writer that was killed")
    progress = Recorder()
    again = list(open_pools(samples, cache, settings=SETTINGS, progress=progress))
    assert (progress.started, progress.n_advances) == ([(3, 2)], 1)
    assert [path.stat().st_mtime_ns for path in kept] == stamps
    assert not list(cache.glob("*.tmp"))
    for new, old in zip(again, pools, strict=True):
        assert (new.inputs, verdicts(new)) == (old.inputs, verdicts(old))
        assert [e.outcomes for e in new.executions] == [e.outcomes for e in old.executions]


def test_n_tasks_limits_what_is_executed(samples: Path, tmp_path: Path) -> None:
    (pool,) = open_pools(samples, tmp_path, settings=SETTINGS, n_tasks=1)
    assert pool.task_id == "Ordinary/1" and len(list(tmp_path.glob("*.parquet"))) == 1


def test_a_changed_setting_or_line_is_executed_again(
    samples: Path, cache: Path, tmp_path: Path
) -> None:
    before = {path.name for path in cache.glob("*.parquet")}
    other = replace(SETTINGS, check_timeout_s=2.0)
    list(open_pools(samples, cache, settings=other, n_tasks=1))
    changed = tmp_path / "changed.jsonl"
    changed.write_text(json.dumps({**ORDINARY, "generated_test_texts": []}) + "\n", "utf-8")
    (pool,) = open_pools(changed, cache, settings=SETTINGS)
    assert pool.inputs[0].origin is InputOrigin.BOUNDARY
    after = {path.name for path in cache.glob("*.parquet")}
    assert before < after and len(after - before) == 2


def test_a_damaged_shard_is_named(samples: Path, cache: Path) -> None:
    shard = next(cache.glob("Ordinary-1.*.parquet"))
    shard.write_bytes(b"PAR1 this is no table PAR1")
    with pytest.raises(DamagedShard, match=shard.name):
        list(open_pools(samples, cache, settings=SETTINGS))


def test_a_shard_without_its_task_is_damaged(samples: Path, cache: Path) -> None:
    shard = next(cache.glob("Ordinary-1.*.parquet"))
    Table(cache, PackedTask).put(shard.stem, [])
    with pytest.raises(DamagedShard, match=f"{shard.name} holds no executed task"):
        list(open_pools(samples, cache, settings=SETTINGS))


def test_reading_a_task_that_was_never_executed_is_an_error(samples: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"execute .* first"):
        list(cached_pools(samples, tmp_path, settings=SETTINGS))


def test_pools_are_read_one_by_one(samples: Path, cache: Path) -> None:
    next(cache.glob("Untyped-2.*.parquet")).write_bytes(b"damaged")
    assert next(cached_pools(samples, cache, settings=SETTINGS)).task_id == "Ordinary/1"


def test_finished_problems_of_a_run_are_pools_without_truth(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", RunConfig())
    interface = Interface("f", (Parameter("x", "int"),), "int", "def f(x: int) -> int: ...")
    for index, name in enumerate(("done", "unfinished")):
        problem = Problem(name, "", "", "", "", "", "", 9.0, "", interface)
        attempt = Attempt(index, 0, "", "", problem, None, "", "", "", "", 0, 0, 0)
        inputs = (TestInput("(1,)", InputOrigin.MODEL),)
        candidate = Candidate("c", name, 0, 0, "", "x", "p", 1, -1.0, FinishReason.STOP, None)
        outcomes = (Outcome(OutcomeKind.RETURNED, "1"),)
        execution = Execution(name, 0, "p", ProgramStatus.LOADED, "", outcomes, 0.0, 0.0)
        run.attempts.put(f"{index:06d}", [attempt])
        run.suites.put(name, [TestSuite(name, inputs, (), None, 0)])
        run.candidates(0).put(name, [candidate])
        run.executions(0).put(name, [execution])
    run.selections(0).put("done", [])
    assert list(pools_of_run(run, 0)) == [
        ExecutedTask("done", "f", inputs, (replace(candidate, problem_id="done"),),
             (replace(execution, problem_id="done"),), ())
    ]  # fmt: skip


def returned(*texts: str) -> list[Outcome]:
    return [Outcome(OutcomeKind.RETURNED, text) for text in texts]


RAISED = Outcome(OutcomeKind.RAISED, "TypeError: ")
INT, STR, BOOL = ("int",), ("str",), ("bool",)


def test_a_constant_supports_no_type() -> None:
    outcomes = {INT: {"p": [*returned("1", "2"), RAISED]}, STR: {"p": returned("0", "0", "0")}}
    assert choose_shape(outcomes, {"p": 1}) == INT


def test_the_type_is_that_of_most_candidates_and_not_of_most_programs() -> None:
    outcomes = {
        INT: {"p": returned("1", "2"), "q": [RAISED, RAISED], "r": [RAISED, RAISED]},
        STR: {"p": [RAISED, RAISED], "q": returned("1", "2"), "r": returned("1", "2")},
    }
    assert choose_shape(outcomes, {"p": 3, "q": 1, "r": 1}) == INT
    assert choose_shape(outcomes, {"p": 1, "q": 1, "r": 1}) == STR


def test_of_equally_supported_types_the_first_is_taken() -> None:
    answers = {"p": returned("1", "2")}
    assert choose_shape({INT: answers, STR: answers}, {"p": 1}) == INT
    assert choose_shape({STR: answers, INT: answers}, {"p": 1}) == STR


def test_a_bool_that_works_where_an_int_may_raise_is_an_int() -> None:
    outcomes = {
        INT: {"p": [*returned("1", "2", "3"), RAISED]},
        BOOL: {"p": returned("1", "2", "1", "2")},
    }
    assert choose_shape(outcomes, {"p": 1}) == INT
    assert choose_shape({**outcomes, INT: {"p": [RAISED] * 4}}, {"p": 1}) == BOOL


def test_there_is_no_type_where_no_program_returns() -> None:
    assert choose_shape({INT: {"p": [RAISED]}, STR: {"p": [RAISED]}}, {"p": 1}) is None
    assert choose_shape({}, {}) is None


def test_a_specific_annotation_is_believed_and_a_vague_one_is_tried() -> None:
    def shapes_of(*annotations: str) -> list[tuple[str, ...]]:
        parameters = tuple(Parameter(f"x{at}", text) for at, text in enumerate(annotations))
        return candidate_shapes(Interface("f", parameters, "", ""))

    assert shapes_of("List[str]", "int") == [("List[str]", "int")]
    assert {first for first, _ in shapes_of("int", "")} == {"int"}
    assert len({second for _, second in shapes_of("int", "")}) > 3
    assert shapes_of("Foo") == shapes_of("list") == shapes_of("") != []
    assert shapes_of() == []


def test_equally_frequent_inputs_keep_their_order_and_the_rarest_are_cut() -> None:
    interface = Interface("f", (Parameter("x", ""),), "", "")
    texts = ["assert f(1) == 1\nassert f(2) == 1", "assert f(3) == 1\nassert f(2) == 1"]
    assert [i.arguments for i in written_inputs(texts, interface, 2)] == ["(2,)", "(1,)"]
