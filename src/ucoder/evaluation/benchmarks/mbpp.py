"""MBPP (Austin et al. 2021) and MBPP+ (Liu et al. 2023), on EvalPlus's data.

EvalPlus's MBPP is the sanitized set without the tasks that it found ill-formed: 378 of 427.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ucoder.evaluation.benchmarks import evalplus, evalplus_rule
from ucoder.evaluation.data import Release, Row, find_release, make_dataset, read_rows, source_of
from ucoder.evaluation.protocol import Benchmark, Dataset, Task

VERSION = "v0.2.0"
RELEASE = Release(
    title="MBPP+",
    variable="MBPP_OVERRIDE_PATH",
    url=f"https://github.com/evalplus/mbppplus_release/releases/download/{VERSION}/MbppPlus.jsonl.gz",
    sha256="b54e762755248ca411b523c917fa9f93c07b5ff2966bf60b3917b853926a3dad",
    kept_by_others=evalplus.CACHE / f"MbppPlus-{VERSION}.jsonl",
)

_TUPLES_IN_ARGUMENTS = {
    2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616, 630, 726,
    740, 744, 809,
}  # fmt: skip
_TUPLES_IN_LISTS = {63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780}
_TUPLES_IN_FIRST_OF_TWO = {75, 413, 444, 753}
_TUPLE_FIRST = {250, 405, 446, 617, 720, 763, 808}
_TUPLES_IN_TUPLES = {259, 401, 445}
_ALL_TUPLES = {580, 615, 791}


def deserialise(task_id: str, inputs: Any) -> list[tuple[Any, ...]]:
    """Argument tuples of JSON, which knows no tuples, sets or complex numbers.

    As EvalPlus does it (`evalplus.data.mbpp.mbpp_deserialize_inputs`), task by task: nothing in
    the data says which list was a tuple. Mbpp/793's additional inputs are an empty dict.
    """
    number = int(task_id.rpartition("/")[2])
    return [tuple(_arguments(number, arguments)) for arguments in inputs]


def _arguments(number: int, one: list[Any]) -> Any:
    if number in _TUPLES_IN_ARGUMENTS:
        return [tuple(item) for item in one]
    if number in _TUPLES_IN_LISTS:
        return [[tuple(item) for item in items] for items in one]
    if number in _TUPLES_IN_FIRST_OF_TWO:
        return [[tuple(item) for item in one[0]], one[1]]
    if number in (106, 750):
        return [one[0], tuple(one[1])]
    if number == 115:
        return [[set(item) if isinstance(item, list) and item else {} for item in one[0]]]
    if number == 124:
        return [float(one[0]), complex(one[1])]
    if number in _TUPLE_FIRST:
        return [tuple(one[0]), one[1]]
    if number in _TUPLES_IN_TUPLES:
        return [tuple(tuple(item) for item in items) for items in one]
    if number == 278:
        return [tuple(tuple(item) if isinstance(item, list) else item for item in one[0])]
    if number == 307:
        return [tuple(one[0]), one[1], one[2]]
    if number == 722:
        return [{key: tuple(value) for key, value in one[0].items()}, *one[1:]]
    if number == 252:
        return [complex(one[0])]
    if number in _ALL_TUPLES:
        return _as_tuples(one)
    return one


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def _load(path: Path | None) -> Dataset:
    found = find_release(RELEASE, path)
    rows, sha256 = read_rows(found)
    source = source_of(sha256, {RELEASE.sha256: f"MBPP+ {VERSION}"}, "MBPP+")
    return make_dataset(found, rows, sha256, source, _task)


def _task(row: Row) -> Task:
    inputs = {
        part: deserialise(row["task_id"], row[f"{part}_input"])
        for part in (evalplus.BASE, evalplus.PLUS)
    }
    return evalplus.make_task(row, inputs)


MBPP = Benchmark(
    name="mbpp",
    title="MBPP",
    load=_load,
    prompt=evalplus.prompt,
    program=evalplus.program,
    grader=evalplus.grader_of(evalplus_rule.MBPP, "mbpp", None),
    chat_stop=evalplus.CHAT_STOP,
    base_stop=evalplus.MBPP_STOP,
    needs=evalplus.REQUIREMENTS,
)

MBPP_PLUS = replace(
    MBPP,
    name="mbpp+",
    title="MBPP+",
    grader=evalplus.grader_of(evalplus_rule.MBPP, "mbpp", "mbpp+"),
    scores=("mbpp", "mbpp+"),
)
