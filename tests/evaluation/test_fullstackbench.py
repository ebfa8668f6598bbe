"""FullStackBench on invented tasks in the published format: real programs, in the real sandbox.

A small stand-in runs what goes to a SandboxFusion server in plain processes of this machine, so
every program that goes there is harmless. With SANDBOX_FUSION_URL set, the last tests go to a real
server.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ucoder.errors import BenchmarkError, ConfigError
from ucoder.evaluation.benchmarks import sandbox_fusion
from ucoder.evaluation.benchmarks.fullstackbench import (
    FULLSTACKBENCH,
    fullstackbench,
    solution_of,
)
from ucoder.evaluation.protocol import Dataset, Grade, GradingContext, Task
from ucoder.evaluation.records import GradeReason
from ucoder.execution import Executor, open_executor
from ucoder.execution.protocol import Limits
from ucoder.progress import Silent

DOUBLE = "def double(x):\n    return 2 * x\n"
TIMES_TWO = "double() { echo $(( $1 * 2 )); }\n"


def row(
    language: str = "python",
    test: str = "#<INSERT>\n\nassert double(4) == 8\n",
    solution: str = DOUBLE,
    asset: Any = None,
    **labels: Any,
) -> dict[str, Any]:
    return {
        "id": 7,
        "content": "Write `double`.",
        "canonical_solution": solution,
        "labels": {"programming_language": language, "category": "Basic", **labels},
        "test": {"code": test, "asset": asset},
    }


BASH = row("bash", '#<INSERT>\n[ "$(double 4)" = 8 ]\n', TIMES_TWO)


def dataset(tmp_path: Path, *rows: dict[str, Any]) -> Dataset:
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return FULLSTACKBENCH.load(path)


class Bench:
    """One task, graded as a run grades it."""

    def __init__(self, executor: Executor, tmp_path: Path) -> None:
        self.executor, self.tmp_path = executor, tmp_path

    async def grade(self, published: dict[str, Any], answer: str, url: str | None = None) -> Grade:
        benchmark = fullstackbench(server_url=url)
        data = dataset(self.tmp_path, published)
        context = GradingContext(data, self.executor, Silent(), self.tmp_path / "cache")
        grader = await benchmark.grader(context)
        program = benchmark.program(data.tasks[0], answer, True)
        return (await grader(data.tasks[0], program))["fullstackbench"]

    @property
    def kept(self) -> list[dict[str, Any]]:
        files = (self.tmp_path / "cache").glob("references-*.jsonl")
        lines = [line for file in files for line in file.read_text().splitlines()]
        return [row for line in lines if line for row in json.loads(line)["rows"]]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    limits = Limits(call_timeout_s=4.0, program_timeout_s=4.0, memory_limit_mib=512)
    async with open_executor("auto", limits, 1) as executor:
        yield Bench(executor, tmp_path)


def fenced(code: str, tag: str = "python") -> str:
    return f"Here it is:\n```{tag}\n{code}\n```\nIt doubles."


async def test_a_right_answer_passes_and_a_wrong_one_does_not(bench: Bench) -> None:
    assert (await bench.grade(row(), fenced(DOUBLE))).reason is GradeReason.PASSED
    wrong = await bench.grade(row(), fenced("def double(x):\n    return x\n"))
    assert (wrong.reason, wrong.detail) == (GradeReason.TESTS_FAILED, "AssertionError:")


async def test_program_and_test_share_names_where_no_place_is_marked(bench: Bench) -> None:
    published = row(test="assert double(FACTOR) == 8\n", solution=f"FACTOR = 4\n{DOUBLE}")
    alone = f"FACTOR = 4\n{DOUBLE}\nif __name__ == '__main__':\n    raise ValueError\n"
    assert (await bench.grade(published, fenced(alone))).passed


@pytest.mark.parametrize(
    "asset", [{"data/n.txt": "NA==", "other.csv": None}, json.dumps({"data/n.txt": "NA=="})]
)
async def test_files_of_a_task_stand_beside_its_program(bench: Bench, asset: Any) -> None:
    published = row(test="#<INSERT>\nassert double(int(open('data/n.txt').read())) == 8\n")
    published["test"]["asset"] = asset
    assert (await bench.grade(published, fenced(DOUBLE))).passed


async def test_tests_may_look_at_the_program_as_a_file(bench: Bench) -> None:
    test = (
        "import inspect, helper, sys\n#<INSERT>\nassert 'return 2 * x' in inspect.getsource(double)"
        "\nassert helper.N == 1 and __name__ == '__main__' and sys.argv == [__file__]\n"
    )
    published = row(test=test, asset={"helper.py": base64.b64encode(b"N = 1").decode()})
    assert (await bench.grade(published, fenced(DOUBLE))).passed


async def test_sql_is_tested_in_python(bench: Bench) -> None:
    test = (
        "import sqlite3\ndb = sqlite3.connect(':memory:')\n"
        'assert db.execute("""#<INSERT>""").fetchall() == [(8,)]\n'
    )
    published = row("sql", test, "select 4 * 2", execution_language="python")
    assert (await bench.grade(published, fenced("SELECT 8", "sql"))).passed
    assert (await bench.grade(published, fenced("SELECT 9", "sql"))).passed is False


async def test_a_program_that_ends_the_process_does_not_pass(bench: Bench) -> None:
    for way in ("import sys; sys.exit(0)", "raise SystemExit", "import os; os._exit(0)"):
        program = f"def double(x):\n    {way}\n"
        assert (await bench.grade(row(), fenced(program))).passed is False, way
    assert (await bench.grade(row(), fenced("exit()"))).passed is False


async def test_tests_may_end_the_process(bench: Bench) -> None:
    test = (
        "import unittest\n#<INSERT>\nclass T(unittest.TestCase):\n    def test(self):\n"
        "        self.assertEqual(double(4), 8)\n"
        "if __name__ == '__main__':\n    unittest.main()\n"
    )
    assert (await bench.grade(row(test=test), fenced(DOUBLE))).passed
    wrong = await bench.grade(row(test=test), fenced("def double(x):\n    return x\n"))
    assert wrong.reason is GradeReason.TESTS_FAILED


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I cannot.", GradeReason.NO_PROGRAM),
        (fenced("def double(x:"), GradeReason.DOES_NOT_COMPILE),
        (fenced("import no_such_library"), GradeReason.TESTS_FAILED),
        (fenced("def double(x):\n    while True: pass\n"), GradeReason.TIMED_OUT),
        (fenced("\ud800\0 def"), GradeReason.DOES_NOT_COMPILE),
    ],
)
async def test_what_fails_is_told_apart(bench: Bench, answer: str, reason: GradeReason) -> None:
    grade = await bench.grade(row(), answer)
    # Half a character cannot even be written into the file.
    allowed = {reason, GradeReason.TESTS_FAILED} if "\ud800" in answer else {reason}
    assert grade.reason in allowed and grade.passed is False, grade


async def test_a_missing_library_is_not_a_failure(bench: Bench) -> None:
    published = row(solution=f"import no_such_library\n{DOUBLE}")
    for answer in (fenced("import no_such_library"), fenced("1 / 0"), fenced(DOUBLE), ""):
        grade = await bench.grade(published, answer)
        assert (grade.reason, grade.passed) == (GradeReason.MISSING_LIBRARY, None)
    assert "no_such_library" in grade.detail
    assert bench.kept == []  # it may be installed before the next start


async def test_a_task_whose_own_solution_fails_is_not_run(bench: Bench) -> None:
    grade = await bench.grade(row(solution="def double(x):\n    return x\n"), fenced(DOUBLE))
    assert (grade.reason, grade.passed) == (GradeReason.REFERENCE_FAILS, None)


async def test_a_task_without_a_solution_is_judged_by_its_test_alone(bench: Bench) -> None:
    assert (await bench.grade(row(solution=""), fenced(DOUBLE))).passed
    assert bench.kept == []


async def test_other_languages_are_not_run_without_a_server(bench: Bench) -> None:
    grade = await bench.grade(BASH, fenced(TIMES_TWO, "bash"))
    assert (grade.reason, grade.passed) == (GradeReason.NO_RUNTIME, None)
    assert "bash" in grade.detail and "SandboxFusion" in grade.detail


class StandIn(ThreadingHTTPServer):
    """Answers /run_code for bash and C++ as SandboxFusion does, or with a fault."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.fault: bytes | None = None
        self.refusals: list[int] = []
        """HTTP statuses to answer with before anything runs, one per request."""
        self.n_posts = 0
        self.requests: list[dict[str, Any]] = []

    def run_code(self, request: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(request)
        with tempfile.TemporaryDirectory() as folder:
            for name, content in request["files"].items():
                Path(folder, name).write_bytes(base64.b64decode(content))
            Path(folder, "code.cpp").write_text(request["code"])
            steps: dict[str, dict[str, Any] | None] = {"compile_result": None, "run_result": None}
            command = ["bash", "code.cpp"]
            if request["language"] == "cpp":
                steps["compile_result"] = _finished(["g++", "code.cpp", "-o", "program"], folder)
                command = ["./program"]
            if (steps["compile_result"] or {"return_code": 0})["return_code"] == 0:
                steps["run_result"] = _finished(command, folder)
        ok = all(step is None or step["return_code"] == 0 for step in steps.values())
        return {"status": "Success" if ok else "Failed", "message": "", "files": {}, **steps}


def _finished(command: list[str], folder: str) -> dict[str, Any]:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return {
        "status": "Finished", "return_code": done.returncode,
        "stdout": done.stdout, "stderr": done.stderr,
    }  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_POST(self) -> None:
        self.server.n_posts += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, answer = 200, self.server.fault
        if self.server.refusals:
            status, answer = self.server.refusals.pop(0), b"come back later"
        elif answer is None:
            answer = json.dumps(self.server.run_code(json.loads(body))).encode()
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def _serving() -> Iterator[StandIn]:
    with StandIn() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server() -> Iterator[StandIn]:
    with _serving() as server:
        yield server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses between attempts."""
    monkeypatch.setattr(sandbox_fusion, "_FIRST_PAUSE_S", 0.001)


async def test_a_server_runs_the_other_languages(bench: Bench, server: StandIn) -> None:
    published = row("bash", '#<INSERT>\n[ "$(double $(cat n))" = 8 ]\n', TIMES_TWO, {"n": "NA=="})
    assert (await bench.grade(published, fenced(TIMES_TWO, "sh"), server.url)).passed
    wrong = await bench.grade(published, fenced("double() { no-such-tool; }", "sh"), server.url)
    assert wrong.reason is GradeReason.TESTS_FAILED and "no-such-tool" in wrong.detail
    request = server.requests[-1]
    assert (request["language"], request["compile_timeout"], request["run_timeout"]) == (
        "bash", 50.0, 50.0,
    )  # fmt: skip
    assert len(server.requests) == 3  # the task's own solution once, and each answer


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler on this machine")
async def test_a_compiler_that_refuses_is_told_apart(bench: Bench, server: StandIn) -> None:
    test = "#include <cassert>\n#<INSERT>\nint main() { assert(twice(4) == 8); }\n"
    published = row("cpp", test, "int twice(int x) { return 2 * x; }")
    right = "int twice(int x) { return x + x; }\nint main() { return 1; }"
    assert (await bench.grade(published, fenced(right, "c++"), server.url)).passed
    grade = await bench.grade(published, fenced("int twice(int x) { return }", "cpp"), server.url)
    assert grade.reason is GradeReason.DOES_NOT_COMPILE
    grade = await bench.grade(published, fenced("int twice(int x) { return x; }"), server.url)
    assert grade.reason is GradeReason.TESTS_FAILED and "Assertion" in grade.detail


@pytest.mark.parametrize(
    "fault",
    [
        b"no JSON",
        b"<html>",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b"1" * 10_000,
        b"\xff\xfe",
        b"x" * 5_000_000,
        b'{"status": ["x"], "run_result": {}}',
        b'{"status": "Success", "run_result": 3}',
        b'{"status": "Success", "run_result": {"status": "Finished", "return_code": "0"}}',
        b'{"status": "SandboxError", "message": "no room"}',
        b'{"status": "Success", "run_result": {"status": "Finished", "return_code": 1}}',
        b'{"status": "Success", "compile_result": 3}',
        b'{"status": "Success"}',
        b'{"status": "Failed", "run_result": {"status": "Error"}}',
    ],
    ids=lambda data: ascii(data[:60]),
)
async def test_a_failing_server_gives_no_verdict(
    bench: Bench, server: StandIn, fault: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_fusion, "_MAX_ANSWER_BYTES", 4_000_000)
    server.fault = fault
    grade = await bench.grade(BASH, fenced(TIMES_TWO, "bash"), server.url)
    assert (grade.reason, grade.passed) == (GradeReason.SANDBOX_FAILED, None)
    assert grade.detail and grade.detail.isascii()
    assert bench.kept == []
    server.fault = None
    assert (await bench.grade(BASH, fenced(TIMES_TWO, "bash"), server.url)).passed


async def test_a_server_that_ends_a_program_for_its_time_gives_a_verdict(
    bench: Bench, server: StandIn
) -> None:
    assert (await bench.grade(BASH, fenced(TIMES_TWO, "bash"), server.url)).passed
    server.fault = b'{"status": "Failed", "run_result": {"status": "TimeLimitExceeded"}}'
    grade = await bench.grade(BASH, fenced(TIMES_TWO, "bash"), server.url)
    assert (grade.reason, grade.passed) == (GradeReason.TIMED_OUT, False)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_busy_server_is_asked_again(
    bench: Bench, server: StandIn, status: int, impatient: None
) -> None:
    server.refusals = [status] * 3
    assert (await bench.grade(BASH, fenced(TIMES_TWO, "bash"), server.url)).passed
    assert server.n_posts == 5  # three refusals, the task's own solution, the answer


async def test_a_server_that_stays_busy_gives_no_verdict(
    bench: Bench, server: StandIn, impatient: None
) -> None:
    server.refusals = [503] * 100
    grade = await bench.grade(BASH, fenced(TIMES_TWO, "bash"), server.url)
    assert (grade.reason, grade.passed) == (GradeReason.SANDBOX_FAILED, None)
    assert "failed 4 times" in grade.detail and "503: come back later" in grade.detail


async def test_a_refused_request_is_not_repeated(bench: Bench, server: StandIn) -> None:
    server.refusals = [404] * 100
    grade = await bench.grade(row("bash", solution=""), fenced(TIMES_TWO, "bash"), server.url)
    assert grade.passed is None and "HTTP status 404: come back later" in grade.detail
    assert server.n_posts == 1


async def test_a_message_about_an_absent_server_shows_no_password(
    bench: Bench, impatient: None
) -> None:
    with _serving() as server:
        url = server.url
    secret = url.replace("//", "//name:password@")
    grade = await bench.grade(BASH, fenced(TIMES_TWO, "bash"), secret)
    assert (grade.reason, grade.passed) == (GradeReason.SANDBOX_FAILED, None)
    assert url in grade.detail and "ConnectError" in grade.detail
    assert "password" not in grade.detail


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://x", "http://", "file:///etc"])
def test_a_url_that_is_not_http_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="must be the base of a running server"):
        fullstackbench(server_url=url)


def test_a_prompt_is_the_task_as_published() -> None:
    task = Task("1", "写一个函数。\n", "", {})
    for is_base in (False, True):
        prompt = fullstackbench("zh").prompt(task)
        assert (prompt.plain if is_base else prompt.user) == "写一个函数。\n"
    assert fullstackbench("zh").name != fullstackbench("en").name


def test_rows_come_as_json_lines_with_texts_inside_or_as_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    published = row(asset={"a.csv": "NA==", "b.csv": None})
    texts = published | {k: json.dumps(published[k]) for k in ("labels", "test")}
    pq.write_table(pa.Table.from_pylist([published]), tmp_path / "t.parquet")
    plain, inside = dataset(tmp_path, published), dataset(tmp_path, texts)
    (task,) = FULLSTACKBENCH.load(tmp_path / "t.parquet").tasks
    assert task.id == "7" and task.text == "Write `double`."
    assert solution_of(task) == DOUBLE
    assert task.fields["test"].files == {"a.csv": "NA=="}
    assert task.fields["test"] == plain.tasks[0].fields["test"] == inside.tasks[0].fields["test"]


@pytest.mark.parametrize("spoilt", [{"labels": {}}, {"test": "[]"}, {"content": None}])
def test_what_is_not_in_the_published_format_is_refused(
    tmp_path: Path, spoilt: dict[str, Any]
) -> None:
    with pytest.raises(BenchmarkError, match="task 1: not in the published format"):
        dataset(tmp_path, row() | spoilt)


needs_a_real_server = pytest.mark.skipif(
    "SANDBOX_FUSION_URL" not in os.environ,
    reason="SANDBOX_FUSION_URL names no running SandboxFusion server",
)


@needs_a_real_server
@pytest.mark.parametrize(
    ("language", "execution", "test", "right", "wrong"),
    [
        ("bash", "bash", '#<INSERT>\n[ "$(double 4)" = 8 ]\n', TIMES_TWO, "double() { echo 1; }"),
        ("cpp", "cpp", "#include <cassert>\n#<INSERT>\nint main() { assert(twice(4) == 8); }\n",
         "int twice(int x) { return 2 * x; }", "int twice(int x) { return x; }"),
        ("javascript", "nodejs", "#<INSERT>\nrequire('assert')(twice(4) === 8);\n",
         "const twice = x => 2 * x;", "const twice = x => x;"),
        ("rust", "rust", "#<INSERT>\nfn main() { assert_eq!(twice(4), 8); }\n",
         "fn twice(x: i32) -> i32 { 2 * x }", "fn twice(x: i32) -> i32 { x }"),
        ("perl", "perl", "#<INSERT>\ndie unless twice(4) == 8;\n",
         "sub twice { return 2 * $_[0]; }", "sub twice { return $_[0]; }"),
        ("java", "junit",
         "import org.junit.jupiter.api.Test;\n"
         "import static org.junit.jupiter.api.Assertions.*;\n\npublic class TwiceTest {\n"
         "    @Test\n    public void test() {\n        assertEquals(8, Twice.of(4));\n    }\n}\n",
         "public class Twice {\n    static int of(int x) {\n        return 2 * x;\n    }\n}",
         "public class Twice {\n    static int of(int x) {\n        return x;\n    }\n}"),
    ],
)  # fmt: skip
async def test_a_real_server_tells_right_from_wrong(
    bench: Bench, language: str, execution: str, test: str, right: str, wrong: str
) -> None:
    url = os.environ["SANDBOX_FUSION_URL"]
    published = row(language, test, right, execution_language=execution)
    grade = await bench.grade(published, fenced(right, language), url)
    if grade.passed is None:
        pytest.skip(f"the server does not run {execution}: {grade.detail}")
    assert grade.passed
    assert (await bench.grade(published, fenced(wrong, language), url)).passed is False
