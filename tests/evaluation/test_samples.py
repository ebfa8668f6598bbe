"""Samples in the official tools' formats: read, written, and refused where they are neither."""

from __future__ import annotations

import codecs
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ucoder.errors import BenchmarkError
from ucoder.evaluation.protocol import Task
from ucoder.evaluation.records import Answer
from ucoder.evaluation.samples import read_samples, write_samples
from ucoder.records import FinishReason

HEAD = "def tide(x):\n"
TASKS = [Task(f"Tide/{i}", HEAD, "tide", {}) for i in range(2)]


def written(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_whole_programs_and_continuations_are_read(tmp_path: Path) -> None:
    path = written(
        tmp_path / "s.jsonl",
        {"task_id": "Tide/1", "solution": "whole"},
        {"task_id": "Tide/1", "completion": "    return x"},
        {"task_id": "Tide/0", "solution": "other", "completion": "not this"},
    )
    samples = read_samples(path, TASKS)
    assert samples.programs == {"Tide/1": ["whole", HEAD + "    return x"], "Tide/0": ["other"]}
    assert samples.unknown == {}


def test_samples_of_other_tasks_are_counted_and_left_out(tmp_path: Path) -> None:
    other = {"task_id": "Ebb/7", "solution": "x"}
    path = written(tmp_path / "s", other, {"task_id": "Tide/0", "solution": "y"}, other)
    samples = read_samples(path, TASKS)
    assert samples.programs == {"Tide/0": ["y"]}
    assert samples.unknown == {"Ebb/7": 2}


def test_a_file_for_another_benchmark_is_refused_with_its_tasks(tmp_path: Path) -> None:
    path = written(tmp_path / "s", {"task_id": "Ebb/7", "solution": "x"})
    with pytest.raises(BenchmarkError, match="Ebb/7"):
        read_samples(path, TASKS)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"task_id": "Tide/0"}', "neither solution nor completion; its keys are ['task_id']"),
        (b'{"task_id": "Tide/0", "solution": 3}', "solution is 3, not a text"),
        (b'{"task_id": "Tide/0", "completion": null}', "completion is null, not a text"),
        (b'{"answer": "x"}', "no task_id; its keys are ['answer']"),
        (b'{"task_id": null, "solution": "x"}', "task_id is null, not a text or an integer"),
        (b'{"task_id": "Tide/0", "solu', "invalid JSON"),
        (b"[1]", "a list, not a JSON object"),
        (b'{"task_id": "Tide/0", "solution": "\xff"}', "not UTF-8 text"),
    ],
)
def test_a_line_without_a_sample_is_said_with_its_number_and_the_others_are_read(
    tmp_path: Path, line: bytes, said: str
) -> None:
    good = b'{"task_id": "Tide/0", "solution": "x"}'
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"\n".join([good, b"", line, good]))
    samples = read_samples(path, TASKS)
    assert samples.programs == {"Tide/0": ["x", "x"]}
    (left_out,) = samples.left_out
    assert left_out.startswith(f"line 3: {said}")
    path.write_bytes(line)
    with pytest.raises(BenchmarkError, match="no sample is for this benchmark"):
        read_samples(path, TASKS)


def test_an_empty_answer_is_a_sample_and_null_is_none(tmp_path: Path) -> None:
    path = written(
        tmp_path / "s", {"task_id": "Tide/0", "solution": ""},
        {"task_id": "Tide/1", "solution": None, "completion": "    return x"},
    )  # fmt: skip
    assert read_samples(path, TASKS).programs == {"Tide/0": [""], "Tide/1": [HEAD + "    return x"]}


@pytest.mark.parametrize("bom", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b""])
def test_a_byte_order_mark_costs_nothing(tmp_path: Path, bom: bytes) -> None:
    coding = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}.get(bom, "utf-8")
    path = tmp_path / "s.jsonl"
    text = '{"task_id": "Tide/0", "solution": "x = \'潮\'"}\r\n'
    path.write_bytes(bom + (2 * text).encode(coding))
    samples = read_samples(path, TASKS)
    assert samples.programs == {"Tide/0": ["x = '潮'"] * 2} and samples.left_out == ()


def test_integer_ids_are_those_of_the_benchmark_or_its_numbers(tmp_path: Path) -> None:
    path = written(
        tmp_path / "s", {"task_id": 1, "solution": "a"}, {"task_id": "0", "solution": "b"},
        {"task_id": 7, "solution": "c"},
    )  # fmt: skip
    samples = read_samples(path, TASKS)
    assert samples.programs == {"Tide/1": ["a"], "Tide/0": ["b"]}
    assert samples.unknown == {"7": 1} and "2 samples name their task" in samples.notes[0]
    plain = [Task(n, HEAD, "tide", {}) for n in ("1", "7")]
    assert set(read_samples(path, plain).programs) == {"1", "7"}
    ambiguous = [Task(n, HEAD, "tide", {}) for n in ("Ebb/1", "Flow/1", "0")]
    assert set(read_samples(path, ambiguous).programs) == {"0"}


@pytest.mark.parametrize(
    "pack", [gzip.compress, lambda raw: pa.compress(raw, "zstd", asbytes=True)]
)
def test_packed_files_are_read_whatever_their_name(tmp_path: Path, pack: Any) -> None:
    path = written(tmp_path / "samples", {"task_id": "Tide/0", "solution": "x"})
    plain = read_samples(path, TASKS)
    path.write_bytes(pack(path.read_bytes()))
    assert read_samples(path, TASKS) == plain


BODY = "def tide(x):\n    return x"
IN_WORDS = Task("Words/0", "Add one to x.", "tide", {})
TYPED = Task("Typed/0", f"from typing import List\n\n\n{HEAD}", "tide", {})


@pytest.mark.parametrize(
    ("sample", "program"),
    [
        ({"solution": f"```python\n{BODY}\n```"}, f"{BODY}\n"),
        ({"solution": f"```\n{BODY}\n```\nDone."}, f"{BODY}\n"),
        ({"solution": f"Sure:\n\n~~~py\n{BODY}\n~~~"}, f"{BODY}\n"),
        ({"solution": f"One:\n```\npip install x\n```\nTwo:\n```\n{BODY}\n```"}, BODY),
        ({"completion": "```python\n    return x\n```"}, f"{HEAD}    return x\n"),
        ({"completion": f"```python\n{BODY}\n```"}, f"{BODY}\n"),
        # not fenced, though there is a fence in it
        ({"solution": f'"""Use:\n```\ntide(1)\n```\n"""\n{BODY}'}, None),
        # no program without the fences either
        ({"solution": "```\nI cannot.\n```"}, None),
        ({"solution": "```"}, None),
    ],
)
def test_code_fences_are_taken_off_where_the_program_is_python_without_them(
    tmp_path: Path, sample: dict[str, str], program: str | None
) -> None:
    path = written(tmp_path / "s", {"task_id": "Tide/0", **sample})
    samples = read_samples(path, TASKS)
    wanted = program if program is not None else sample["solution"]
    (made,) = samples.programs["Tide/0"]
    assert made == wanted or made == f"{HEAD}{wanted}"
    assert len(samples.notes) == (program is not None)


def test_a_whole_program_as_completion_keeps_the_imports_of_its_prompt(tmp_path: Path) -> None:
    path = written(
        tmp_path / "s", {"task_id": "Words/0", "completion": BODY},
        {"task_id": "Typed/0", "completion": f"Here:\n```\n{BODY}\n```"},
    )  # fmt: skip
    programs = read_samples(path, [IN_WORDS, TYPED]).programs
    assert programs["Words/0"] == [BODY]
    assert programs["Typed/0"] == [f"from typing import List\n{BODY}\n"]


def test_counts_say_where_they_are_uneven(tmp_path: Path) -> None:
    one, other = {"task_id": "Tide/0", "solution": "x"}, {"task_id": "Tide/1", "solution": "x"}
    even = read_samples(written(tmp_path / "even", one, other, other, one), TASKS)
    assert even.counts() == "4 samples for 2 tasks, 2 a task"
    uneven = read_samples(written(tmp_path / "uneven", one, other, one), TASKS)
    assert uneven.counts() == "3 samples for 2 tasks, unevenly: 1 (Tide/1) to 2 (Tide/0) a task"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="is not a file"):
        read_samples(tmp_path / "nowhere", TASKS)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    texts = ["def tide(x):\n    return '\u2028潮'\n", "", "\ud800"]
    answers = [
        Answer("tide", 0, "Tide/1", i, f"Sure: {text}", text, 3, FinishReason.STOP)
        for i, text in enumerate(texts)
    ]
    path = tmp_path / "deep" / "samples.jsonl"
    assert write_samples(path, answers) == 3
    assert read_samples(path, TASKS).programs == {"Tide/1": texts}
    first = json.loads(path.read_text().splitlines()[0])
    assert first["raw_solution"] == answers[0].completion
    assert [file.name for file in path.parent.iterdir()] == ["samples.jsonl"]
