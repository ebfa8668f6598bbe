"""Files of samples: what is read from them, and that nothing in them is trusted."""

from __future__ import annotations

import gzip
import json
import math
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ucoder.errors import BenchmarkError
from ucoder.evaluation.benchmarks import known_answers
from ucoder.records import FinishReason, Reason
from ucoder.studies.samples import (
    TaskSamples,
    interface_of,
    make_candidates,
    program,
    read_samples,
    samples_file,
)

RECORD: dict[str, Any] = {
    "task_id": "T/1",
    "prompt": "def double(x: int, times=2):\n",
    "entry_point": "double",
    "candidate_bodies": ["    return x * times\n\n\nprint(double(3))\n", "    return x\n"],
    "generated_test_texts": ["double(2) == 4", "assert double(3) == 6", "\n"],
    "test": "def check(candidate):\n    assert candidate(4) == 8\n",
}


def write(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def read_one(path: Path, **changes: Any) -> TaskSamples:
    """The samples of a file whose only line is RECORD with changes; None takes a field away."""
    record = {name: value for name, value in {**RECORD, **changes}.items() if value is not None}
    (samples,) = read_samples(write(path / "samples.jsonl", record))
    return samples


@pytest.mark.parametrize(
    "pack",
    [lambda raw: pa.compress(raw, "zstd", asbytes=True), lambda raw: b"\xef\xbb\xbf" + raw,
     lambda raw: gzip.compress(b"\xef\xbb\xbf" + raw)],
    ids=["zstandard", "BOM", "BOM in gzip"],
)  # fmt: skip
def test_zstandard_and_byte_order_marks_are_read(tmp_path: Path, pack: Any) -> None:
    plain = write(tmp_path / "plain", RECORD)
    (tmp_path / "packed").write_bytes(pack(plain.read_bytes()))
    assert list(read_samples(tmp_path / "packed")) == list(read_samples(plain))


def test_gzip_is_recognised_by_content_and_not_by_name(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.gz", RECORD, {**RECORD, "task_id": "T/2"})
    packed = tmp_path / "b.jsonl"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert list(read_samples(packed)) == list(read_samples(plain))
    assert [samples.task_id for samples in read_samples(plain)] == ["T/1", "T/2"]


def test_blank_lines_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text(f"\n{json.dumps(RECORD)}\r\n   \n", "utf-8")
    assert len(list(read_samples(path))) == 1


def test_a_body_continues_its_prompt_and_ends_where_codet_cuts_it(tmp_path: Path) -> None:
    assert (
        read_one(tmp_path).programs[0] == "def double(x: int, times=2):\n    return x * times\n\n"
    )


@pytest.mark.parametrize(
    "stop", ["\nclass A:", "\ndef g():", "\n# more", "\nif True:", "\nprint(1)"]
)
def test_codet_cuts_at_every_new_statement_of_five_kinds(stop: str) -> None:
    assert program("def f():\n", f"    return 1{stop}\n    pass") == "def f():\n    return 1"


def test_whole_programs_are_taken_as_they_are(tmp_path: Path) -> None:
    whole = "import math\n\ndef double(x):\n    return 2 * x\n\nprint(1)\n"
    samples = read_one(tmp_path, candidate_bodies=None, candidates=[whole])
    assert samples.programs == samples.completions == (whole,)


def test_every_test_text_begins_with_assert_once(tmp_path: Path) -> None:
    assert read_one(tmp_path).test_texts == (
        "assert double(2) == 4", "assert double(3) == 6", "assert \n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("test", "ending"),
    [
        ("def check(candidate):\n    assert candidate(4) == 8\n", "\ncheck(double)\n"),
        ("def check(f):\n    assert f(4) == 8\ncheck(double)\n", ")\n"),
        ("assert double(4) == 8\n", "8\n"),
    ],
)
def test_check_is_called_exactly_once(tmp_path: Path, test: str, ending: str) -> None:
    complete = read_one(tmp_path, test=test).test
    assert complete.startswith(test) and complete.endswith(ending)
    assert complete.count("check(double)") <= 1


def test_log_probabilities_missing_from_the_file_are_nan_and_not_zero(tmp_path: Path) -> None:
    first, second = make_candidates(read_one(tmp_path))
    assert math.isnan(first.sum_logprob) and math.isnan(first.perplexity)
    assert first.reason is second.reason is None
    assert (first.index, second.index) == (0, 1) and first.id != second.id


def test_perplexity_comes_from_tokens_and_log_probabilities(tmp_path: Path) -> None:
    samples = read_one(tmp_path, n_tokens=[4, 2], sum_logprobs=[-4 * math.log(3), None])
    first, second = make_candidates(samples)
    assert first.perplexity == pytest.approx(3) and math.isnan(second.perplexity)


def test_a_truncated_candidate_is_rejected_and_keeps_its_completion(tmp_path: Path) -> None:
    whole, cut = make_candidates(read_one(tmp_path, finish=["stop", "length"]))
    assert (whole.reason, cut.reason) == (None, Reason.TRUNCATED)
    assert (cut.program, cut.program_id) == ("", "") and cut.completion == "    return x\n"
    assert cut.finish_reason is FinishReason.LENGTH


def test_programs_with_equal_syntax_trees_share_an_id(tmp_path: Path) -> None:
    bodies = [
        "    y = x\n    return y\n",
        "    y = x  # the same\n    return y\n",
        "    return 1\n",
    ]
    a, b, c = make_candidates(read_one(tmp_path, candidate_bodies=bodies))
    assert a.program_id == b.program_id != c.program_id


def test_the_signature_comes_from_the_prompt(tmp_path: Path) -> None:
    interface = interface_of(read_one(tmp_path))
    assert interface is not None and interface.n_required == 1
    x, times = interface.parameters
    assert (x.name, x.annotation, x.has_default) == ("x", "int", False)
    assert (times.name, times.annotation, times.has_default) == ("times", "", True)


@pytest.mark.parametrize(
    "prompt",
    [
        "def double(x):\n  '''Two spaces.'''\n",
        "def double(x):\n    # a comment alone\n",
        "import math\ndef helper(a, b):\n    return a\n\ndef double(x):\n    '''Doc.'''\n",
    ],
)
def test_a_prompt_without_a_function_body_has_a_signature(tmp_path: Path, prompt: str) -> None:
    interface = interface_of(read_one(tmp_path, prompt=prompt))
    assert interface is not None and [p.name for p in interface.parameters] == ["x"]


def test_a_prompt_that_ends_inside_the_def_leaves_the_signature_to_most_candidates(
    tmp_path: Path,
) -> None:
    bodies = ["):\n    return 1\n", "n, m: int):\n    return n\n", "a, b):\n    return a\n", "((("]
    interface = interface_of(read_one(tmp_path, prompt="def double(", candidate_bodies=bodies))
    assert interface is not None
    assert [(p.name, p.annotation) for p in interface.parameters] == [("n", ""), ("m", "int")]


def test_there_is_no_signature_where_no_text_defines_the_function(tmp_path: Path) -> None:
    samples = read_one(tmp_path, prompt="def double(", candidate_bodies=["(((", "\0"])
    assert interface_of(samples) is None


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"prompt": None}, "lacks the field 'prompt'"),
        ({"task_id": 7}, "task_id must be a text, got '7'"),
        ({"task_id": " "}, "task_id must not be empty"),
        ({"entry_point": "f(); evil"}, "entry_point must be a function's name"),
        ({"candidate_bodies": "text"}, "candidate_bodies must be a list, got '.text.'"),
        ({"candidate_bodies": ["a", None]}, r"candidate_bodies\[1\] must be a text, got 'null'"),
        ({"candidate_bodies": []}, "holds no candidate"),
        ({"candidate_bodies": None}, "got neither"),
        ({"candidates": ["x = 1"]}, "got both"),
        ({"generated_test_texts": [1]}, r"generated_test_texts\[0\] must be a text"),
        ({"test": "def check(:"}, "test must be a Python script"),
        ({"n_tokens": [1]}, "n_tokens has 1 values for 2 candidates"),
        ({"n_tokens": [1, -1]}, r"n_tokens\[1\] must be a count, got '-1'"),
        ({"n_tokens": [1, True]}, r"n_tokens\[1\] must be a whole number, got 'true'"),
        ({"n_tokens": [1, 1.5]}, r"n_tokens\[1\] must be a whole number, got '1.5'"),
        ({"sum_logprobs": [-1.0, "x"]}, r"sum_logprobs\[1\] must be a number, got '.x.'"),
        ({"sum_logprobs": [-1.0, -math.inf]}, r"sum_logprobs\[1\] must be finite"),
        ({"finish": ["stop", "eos"]}, r'finish\[1\] must be "stop" or "length", got'),
    ],
)
def test_an_invalid_field_is_named_with_its_line(
    tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    faulty = {**RECORD, "task_id": "T/2", **changes}
    faulty = {k: v for k, v in faulty.items() if v is not None}
    path = write(tmp_path / "samples.jsonl", RECORD, faulty)
    with pytest.raises(BenchmarkError, match=f"samples.jsonl, line 2: .*{complaint}"):
        list(read_samples(path))


@pytest.mark.parametrize("line", [b"{not json}", b"[" * 100_000, b"\xff\xfe\x00", b"[1, 2]", b"3"])
def test_a_line_that_is_not_a_json_object_is_refused(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(json.dumps(RECORD).encode() + b"\n" + line + b"\n")
    with pytest.raises(BenchmarkError, match="line 2: "):
        list(read_samples(path))


def test_two_lines_of_one_task_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "samples.jsonl", RECORD, RECORD)
    with pytest.raises(BenchmarkError, match="line 2: task_id 'T/1' is that of line 1"):
        list(read_samples(path))


def test_a_truncated_gzip_file_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress(write(tmp_path / "a", RECORD).read_bytes())
    (tmp_path / "b.gz").write_bytes(packed[:-8])
    with pytest.raises(BenchmarkError, match="not a whole gzip file"):
        list(read_samples(tmp_path / "b.gz"))


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "empty").write_bytes(content)
    with pytest.raises(BenchmarkError, match="holds no line"):
        list(read_samples(tmp_path / "empty"))


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"none\.jsonl cannot be read: No such file"):
        list(read_samples(tmp_path / "none.jsonl"))


def test_a_task_is_yielded_before_the_next_line_is_read(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text(json.dumps(RECORD) + "\nbroken\n", "utf-8")
    assert [samples.task_id for samples in islice(read_samples(path), 1)] == ["T/1"]


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(gzip.compress)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_raise_benchmark_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any"
    path.write_bytes(content)
    with pytest.raises(BenchmarkError):
        list(read_samples(path))


TEXTS = st.text(max_size=30)


@given(TEXTS, TEXTS, st.lists(TEXTS, min_size=1, max_size=3), st.lists(TEXTS, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arbitrary_texts_make_candidates(
    tmp_path: Path, task: str, prompt: str, bodies: list[str], texts: list[str]
) -> None:
    samples = read_one(
        tmp_path, task_id=f"T{task}", prompt=prompt, candidate_bodies=bodies,
        generated_test_texts=texts,
    )  # fmt: skip
    interface_of(samples)
    assert len(make_candidates(samples)) == len(bodies)


def test_the_samples_that_come_with_ucoder_are_of_the_known_answers_as_they_are() -> None:
    tasks = {task.id: task for task in known_answers.load().tasks}
    for samples in read_samples(samples_file(Path("known-answers"))):
        task = tasks[samples.task_id]
        assert samples.prompt == f"{task.fields['interface']}\n"
        assert samples.test == known_answers.script(task)
        assert len(samples.programs) >= 16


def test_a_file_of_a_packaged_name_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = Path("known-answers")
    assert samples_file(name).name == "known-answers-qwen2.5-coder-0.5b-instruct.jsonl.gz"
    name.write_text("{}", "utf-8")
    assert samples_file(name) == name
    assert samples_file(Path("other.jsonl")) == Path("other.jsonl")
