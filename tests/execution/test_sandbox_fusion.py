"""The client of a SandboxFusion server, against a small server that answers as that one does.

The stand-in runs scripts in plain processes of this machine, so every program here is harmless.
With SANDBOX_FUSION_URL set, the last test goes to a real server.
"""

from __future__ import annotations

import ast
import asyncio
import base64
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ucoder.errors import ConfigError, SandboxClosed, SandboxUnavailable
from ucoder.execution import fusion_server
from ucoder.execution.fusion_script import shipped_files
from ucoder.execution.outcomes import OutcomeKind, ProgramStatus, Verdict
from ucoder.execution.protocol import Limits
from ucoder.execution.sandbox_fusion import SandboxFusionExecutor

LIMITS = Limits(
    call_timeout_s=0.5,
    program_timeout_s=3.0,
    memory_limit_mib=512,
    output_limit_bytes=20_000,
    n_processes=16,
    file_size_mib=4,
)
ADD = "def f(a, b):\n    return a + b\n"


class StandIn(ThreadingHTTPServer):
    """Answers /run_code as SandboxFusion does, or as a test wants it to."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.faults: list[tuple[int, bytes]] = []
        """Answers to give instead of running anything, one a request."""
        self.spoil: Callable[[dict[str, Any]], None] | None = None
        """Changes an answer before it is sent."""
        self.n_requests = 0
        self.lock = threading.Lock()
        self.n_running = 0
        self.most_running = 0

    def run_code(self, request: dict[str, Any]) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as directory:
            for name, content in request["files"].items():
                Path(directory, name).write_bytes(base64.b64decode(content))
            script = Path(directory, "script.py")
            script.write_text(request["code"])
            command = [sys.executable, str(script)]
            result: dict[str, Any] = {"status": "Finished", "return_code": None, "stderr": ""}
            with subprocess.Popen(
                command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            ) as process:
                try:
                    _, errors = process.communicate(timeout=request["run_timeout"])
                    result |= {"return_code": process.returncode, "stderr": errors.decode()}
                except subprocess.TimeoutExpired:
                    process.kill()
                    result["status"] = "TimeLimitExceeded"
            files = {
                name: base64.b64encode(Path(directory, name).read_bytes()).decode()
                for name in request["fetch_files"]
                if Path(directory, name).is_file()
            }
        status = "Success" if result["return_code"] == 0 else "Failed"
        return {"status": status, "message": "", "run_result": result, "files": files}


class _Handler(BaseHTTPRequestHandler):
    server: StandIn
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with server.lock:
            server.n_requests += 1
            server.n_running += 1
            server.most_running = max(server.most_running, server.n_running)
            fault = server.faults.pop(0) if server.faults else None
        try:
            if fault is None:
                assert self.path == "/run_code"
                answer = server.run_code(json.loads(body))
                if server.spoil is not None:
                    server.spoil(answer)
                fault = 200, json.dumps(answer).encode()
        finally:
            with server.lock:
                server.n_running -= 1
        status, data = fault
        with contextlib.suppress(ConnectionError):  # the client may have gone
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

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
async def executor(server: StandIn) -> AsyncIterator[SandboxFusionExecutor]:
    async with SandboxFusionExecutor(server.url, LIMITS, n_workers=2) as executor:
        server.n_requests = server.most_running = 0
        yield executor


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses between attempts."""
    monkeypatch.setattr(fusion_server, "_FIRST_PAUSE_S", 0.001)


def _runs(pid: str) -> bool:
    """Whether a process is there and no zombie that nobody has waited for yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def _cases(middle: str) -> str:
    """A program that does something special on the input 1 and answers the others."""
    return (
        f"import os, signal, sys, time\ndef f(a):\n    if a == 1:\n        {middle}\n    return a\n"
    )


async def _on_0_1_2(executor: SandboxFusionExecutor, middle: str) -> tuple[Any, list[Any]]:
    report = await executor.call(_cases(middle), "f", ["(0,)", "(1,)", "(2,)"])
    assert report.outcomes[0].text == "0"
    return report, [(outcome.kind, outcome.text) for outcome in report.outcomes[1:]]


async def test_results_and_exceptions_come_back(executor: SandboxFusionExecutor) -> None:
    report = await executor.call(ADD, "f", ["(1, 2)", "('a', 'b')", "(1, None)"])
    assert report.status is ProgramStatus.LOADED
    assert [outcome.text for outcome in report.outcomes[:2]] == ["3", "'ab'"]
    assert report.outcomes[2].kind is OutcomeKind.RAISED
    assert report.outcomes[2].text.startswith("TypeError: ")
    assert report.cpu_s > 0 and report.wall_s > 0


async def test_changed_arguments_are_reported(executor: SandboxFusionExecutor) -> None:
    report = await executor.call("def f(a):\n    a.sort()\n", "f", ["([3, 1],)"])
    assert report.outcomes[0].arguments == "([1, 3],)"


async def test_an_input_that_is_no_tuple_is_the_callers_fault(
    executor: SandboxFusionExecutor,
) -> None:
    report = await executor.call(ADD, "f", ["(1, 2)", "[1, 2]", "nonsense", "(3, 4)"])
    kinds = [outcome.kind for outcome in report.outcomes]
    assert kinds[1:3] == [OutcomeKind.SANDBOX_FAILED] * 2
    assert [report.outcomes[0].text, report.outcomes[3].text] == ["3", "7"]


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("def f(:\n", ProgramStatus.DOES_NOT_COMPILE),
        ("x = '\0'\n", ProgramStatus.DOES_NOT_COMPILE),
        ("raise ValueError('no')\n", ProgramStatus.FAILED_TO_LOAD),
        ("g = 1\n", ProgramStatus.NO_ENTRY_POINT),
    ],
)
async def test_a_program_that_cannot_be_called_says_why(
    executor: SandboxFusionExecutor, source: str, status: ProgramStatus
) -> None:
    report = await executor.call(source, "f", ["(1,)", "(2,)"])
    assert report.status is status and report.detail
    assert [outcome.kind for outcome in report.outcomes] == [OutcomeKind.RAISED] * 2


@pytest.mark.parametrize(
    "middle", ["while True: pass", "sum(range(10**11))", "time.sleep(60)"], ids=str
)
async def test_a_slow_call_times_out_and_the_next_is_answered(
    executor: SandboxFusionExecutor, middle: str
) -> None:
    report, outcomes = await _on_0_1_2(executor, middle)
    assert report.status is ProgramStatus.LOADED
    assert outcomes == [(OutcomeKind.TIMED_OUT, ""), (OutcomeKind.RETURNED, "2")]


async def test_a_sleeping_call_is_tried_once_more(executor: SandboxFusionExecutor) -> None:
    report, outcomes = await _on_0_1_2(executor, "time.sleep(0.9)")
    assert report.retried
    assert outcomes == [(OutcomeKind.RETURNED, "1"), (OutcomeKind.RETURNED, "2")]


@pytest.mark.parametrize(
    ("middle", "kind", "text"),
    [
        ("return bytearray(2 * 10**9)", OutcomeKind.OUT_OF_MEMORY, ""),
        ("return 'x' * 10**6", OutcomeKind.OUTPUT_TOO_LARGE, "more than 20000 characters"),
        ("return iter([])", OutcomeKind.NOT_REPRESENTABLE, "list_iterator"),
        ("sys.exit(0)", OutcomeKind.RAISED, "SystemExit: 0"),
    ],
)
async def test_each_kind_of_outcome_crosses(
    executor: SandboxFusionExecutor, middle: str, kind: OutcomeKind, text: str
) -> None:
    report, outcomes = await _on_0_1_2(executor, middle)
    assert report.status is ProgramStatus.LOADED
    assert outcomes == [(kind, text), (OutcomeKind.RETURNED, "2")]


@pytest.mark.parametrize("middle", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGSEGV)"])
async def test_a_call_that_ends_its_process_costs_itself_only(
    executor: SandboxFusionExecutor, server: StandIn, middle: str
) -> None:
    report, outcomes = await _on_0_1_2(executor, middle)
    assert report.status is ProgramStatus.KILLED
    assert outcomes[0][0] is OutcomeKind.RAISED and outcomes[0][1].startswith("killed: ")
    assert outcomes[1] == (OutcomeKind.RETURNED, "2")
    assert server.n_requests == 1


async def test_a_program_that_kills_its_script_is_called_on_the_rest_in_a_new_request(
    executor: SandboxFusionExecutor, server: StandIn
) -> None:
    middle = "time.sleep(0.2); os.kill(os.getppid(), signal.SIGKILL)"
    report, outcomes = await _on_0_1_2(executor, middle)
    assert report.status is ProgramStatus.KILLED and "signal 9" in report.detail
    assert outcomes == [(OutcomeKind.RAISED, "killed: signal 9"), (OutcomeKind.RETURNED, "2")]
    assert server.n_requests == 2


async def test_a_program_that_always_kills_its_script_costs_four_requests(
    executor: SandboxFusionExecutor, server: StandIn
) -> None:
    source = "import os\ndef f(a):\n    os.kill(os.getppid(), 9)\n"
    report = await executor.call(source, "f", [f"({n},)" for n in range(10)])
    assert {outcome.text for outcome in report.outcomes} == {"killed: signal 9"}
    assert len(report.outcomes) == 10 and server.n_requests == 4


async def test_a_script_that_the_server_ends_for_its_time_keeps_its_answers(
    executor: SandboxFusionExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ucoder.execution.sandbox_fusion._START_S", -1.5)
    report, outcomes = await _on_0_1_2(
        executor, "time.sleep(0.2); os.kill(os.getppid(), signal.SIGSTOP)"
    )
    assert report.status is ProgramStatus.LOADED
    assert outcomes == [(OutcomeKind.TIMED_OUT, "")] * 2


async def test_endless_output_is_no_obstacle(executor: SandboxFusionExecutor) -> None:
    source = "import sys\ndef f():\n    print('x' * 10**6)\n    sys.stderr.write('y' * 10**6)\n"
    report = await executor.call(source, "f", ["()"])
    assert report.outcomes[0].text == "None"


async def test_long_answers_come_back_whole(executor: SandboxFusionExecutor) -> None:
    report = await executor.call(
        "def f(n):\n    return 'y' * n\n", "f", [f"({15_000 + n},)" for n in range(100)]
    )
    assert [len(outcome.text) - 2 for outcome in report.outcomes] == list(range(15_000, 15_100))


async def test_programs_find_a_fixed_and_empty_environment(
    executor: SandboxFusionExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVER", "1")
    source = (
        "import os, random, sys, time\n"
        "def f():\n"
        "    ours = [n for n in os.listdir('.') if not n.endswith('.answers')]\n"
        "    secret = 'SECRET_OF_THE_SERVER' in os.environ\n"
        "    return [hash('a'), random.random(), time.tzname[0], ours], secret\n"
    )
    first, second = [(await executor.call(source, "f", ["()"])).outcomes[0].text for _ in "12"]
    assert first == second
    assert first.endswith("'UTC', []], False)")


async def test_processes_left_behind_are_ended_and_reported(
    executor: SandboxFusionExecutor, tmp_path: Path
) -> None:
    source = (
        "import os, time\n"
        "def f(path):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        if os.fork() == 0:\n"
        "            open(path, 'w').write(str(os.getpid()))\n"
        "            time.sleep(20)\n"
        "        os._exit(0)\n"
        "    while not os.path.exists(path) or not open(path).read(): time.sleep(0.01)\n"
        "    return int(open(path).read())\n"
    )
    report = await executor.call(source, "f", [repr((str(tmp_path / "pid"),))])
    assert "process" in report.leftovers
    assert not _runs(report.outcomes[0].text)


@pytest.mark.parametrize("separates", [True, False], ids=["two processes", "one process"])
@pytest.mark.parametrize(
    ("source", "tests", "verdict"),
    [
        (ADD, "assert f(1, 2) == 3\n", Verdict.PASSED),
        (ADD, "assert f(1, 2) == 4, 'no'\n", Verdict.FAILED),
        ("import os\nos._exit(0)\n", "assert f(1, 2) == 3\n", Verdict.FAILED),
        ("import sys\nsys.exit(0)\n", "assert f(1, 2) == 3\n", Verdict.FAILED),
        ("def f(:\n", "pass\n", Verdict.FAILED),
        ('x = """\n', 'y = """\n"""\n', Verdict.FAILED),
        ("def f():\n    while True: pass\n", "f()\n", Verdict.TIMED_OUT),
    ],
)
async def test_a_program_is_judged_by_its_tests(
    executor: SandboxFusionExecutor, source: str, tests: str, verdict: Verdict, separates: bool
) -> None:
    assert executor.separates_tests
    executor.separates_tests = separates
    report = await executor.check(source, tests, timeout_s=1.0)
    assert report.verdict is verdict, report
    assert bool(report.detail) is (verdict is not Verdict.PASSED)


async def test_sleeping_tests_are_tried_once_more(executor: SandboxFusionExecutor) -> None:
    report = await executor.check("import time\ntime.sleep(1.2)\n", timeout_s=1.0)
    assert (report.verdict, report.retried) == (Verdict.PASSED, True)


async def test_a_program_that_kills_its_script_goes_with_it(
    executor: SandboxFusionExecutor, tmp_path: Path
) -> None:
    source = (
        "import os, time\n"
        "def f(path):\n"
        "    with open(path, 'w') as file: file.write(str(os.getpid()))\n"
        "    os.kill(os.getppid(), 9)\n"
        "    time.sleep(20)\n"
    )
    path = tmp_path / "pid"
    report = await executor.call(source, "f", [repr((str(path),))])
    assert report.status is ProgramStatus.KILLED
    await asyncio.sleep(0.2)
    assert not _runs(path.read_text())


async def test_a_value_that_equals_everything_fails_where_tests_are_separate(
    executor: SandboxFusionExecutor,
) -> None:
    source = "class E:\n    def __eq__(s, o): return True\ndef f():\n    return E()\n"
    assert (await executor.check(source, "assert f() == 1\n")).verdict is Verdict.FAILED


async def test_a_script_with_its_own_tests_passes_at_its_end_only(
    executor: SandboxFusionExecutor,
) -> None:
    assert (await executor.check(ADD + "assert f(1, 2) == 3\n")).verdict is Verdict.PASSED
    assert (await executor.check("import os\nos._exit(0)\n")).verdict is Verdict.FAILED
    killed = await executor.check("import os\nos.kill(os.getppid(), 9)\n")
    assert (killed.verdict, killed.detail) == (Verdict.FAILED, "killed: signal 9")


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_server_that_is_busy_is_asked_again(
    executor: SandboxFusionExecutor, server: StandIn, status: int, impatient: None
) -> None:
    server.faults = [(status, b"busy")] * 3
    assert (await executor.call(ADD, "f", ["(1, 2)"])).outcomes[0].text == "3"
    assert server.n_requests == 4


async def test_a_server_that_keeps_failing_is_no_verdict_on_the_program(
    executor: SandboxFusionExecutor, server: StandIn, impatient: None
) -> None:
    server.faults = [(503, b"overloaded")] * 100
    report = await executor.call(ADD, "f", ["(1, 2)", "(3, 4)"])
    assert report.status is ProgramStatus.SANDBOX_FAILED
    assert [outcome.kind for outcome in report.outcomes] == [OutcomeKind.SANDBOX_FAILED] * 2
    assert "HTTP status 503: overloaded" in report.detail
    check = await executor.check(ADD)
    assert check.verdict is Verdict.SANDBOX_FAILED and "503" in check.detail


async def test_an_error_inside_the_server_is_tried_once_more(
    executor: SandboxFusionExecutor, server: StandIn
) -> None:
    broken = json.dumps({"status": "SandboxError", "message": "no cgroup", "run_result": None})
    server.faults = [(200, broken.encode())]
    assert (await executor.call(ADD, "f", ["(1, 2)"])).outcomes[0].text == "3"
    server.faults = [(200, broken.encode())] * 2
    report = await executor.call(ADD, "f", ["(1, 2)"])
    assert report.status is ProgramStatus.SANDBOX_FAILED
    assert "SandboxError: no cgroup" in report.detail and "twice" in report.detail


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"<html>",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b'{"status": "Success"}',
        b'{"status": "Success", "run_result": 3}',
        b'{"status": "Success", "run_result": {"status": "Finished", "return_code": "0"}}',
        b'{"status": "Failed", "run_result": {"status": "TimeLimitExceeded"}, "files": 1}',
        b'{"status": ["x"], "run_result": {}}',
        b"1" * 10_000,
        b"\xff\xfe",
        b"x" * (8 << 20),
    ],
    ids=lambda data: ascii(data[:60]),
)
async def test_an_answer_that_makes_no_sense_is_a_failed_sandbox(
    executor: SandboxFusionExecutor, server: StandIn, garbage: bytes
) -> None:
    server.faults = [(200, garbage)] * 2
    report = await executor.call(ADD, "f", ["(1, 2)"])
    assert report.outcomes[0].kind is OutcomeKind.SANDBOX_FAILED
    assert report.detail and report.detail.isascii()


def _replace_tail(answer: dict[str, Any], tail: bytes, keep: int = 32) -> None:
    for name, content in answer["files"].items():
        data = base64.b64decode(content)[:keep] + tail
        answer["files"][name] = base64.b64encode(data).decode()


@pytest.mark.parametrize(
    "tail",
    [
        b"Z" + bytes(16),
        b"R" + b"\xff" * 16,
        b"?" + bytes(16) * 3,
        b"R\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\xff" + b"Z\0\0\0\1" + bytes(12) + b"L",
        b"Z\0\0\0\1" + bytes(12) + b"L" + b"more",
        b"Z\0\0\0\1" + bytes(12) + b"?",
    ],
    ids=["no status", "huge", "unknown kind", "no ASCII", "more than the end", "unknown status"],
)
async def test_forged_answers_are_refused(
    executor: SandboxFusionExecutor, server: StandIn, tail: bytes
) -> None:
    server.spoil = lambda answer: _replace_tail(answer, tail)
    report = await executor.call(ADD, "f", ["(1, 2)"])
    assert report.status is ProgramStatus.SANDBOX_FAILED


async def test_an_answers_file_of_another_request_is_refused(
    executor: SandboxFusionExecutor, server: StandIn
) -> None:
    server.spoil = lambda answer: _replace_tail(answer, b"", keep=31)
    report = await executor.call(ADD, "f", ["(1, 2)"])
    assert report.status is ProgramStatus.SANDBOX_FAILED
    assert "did not run" in report.detail


async def test_no_more_programs_are_in_flight_than_allowed(
    executor: SandboxFusionExecutor, server: StandIn
) -> None:
    source = "import time\ndef f(a):\n    time.sleep(0.1)\n    return a\n"
    calls = [executor.call(f"{source}# {n}\n", "f", [f"({n},)"]) for n in range(6)]
    reports = await asyncio.gather(*calls)
    assert [report.outcomes[0].text for report in reports] == [str(n) for n in range(6)]
    assert server.most_running == 2


async def test_closing_cuts_programs_off(server: StandIn) -> None:
    executor = SandboxFusionExecutor(server.url, LIMITS, n_workers=1)
    async with executor:
        source = "import time\ndef f():\n    time.sleep(0.4)\n"
        calls = [asyncio.ensure_future(executor.call(source, "f", ["()"])) for _ in range(3)]
        await asyncio.sleep(0.1)
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {SandboxClosed}
    with pytest.raises(SandboxClosed):
        await executor.call(ADD, "f", ["(1, 2)"])


async def test_a_cancelled_caller_is_cancelled_and_others_are_served(
    executor: SandboxFusionExecutor,
) -> None:
    slow = asyncio.ensure_future(executor.call("import time\ntime.sleep(1)\n", "f", ["()"]))
    await asyncio.sleep(0.1)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    assert (await executor.call(ADD, "f", ["(1, 2)"])).outcomes[0].text == "3"


async def test_a_server_that_is_not_there_is_said_at_the_start(impatient: None) -> None:
    with _serving() as server:
        url = server.url
    with pytest.raises(SandboxUnavailable) as caught:
        async with SandboxFusionExecutor(url.replace("//", "//name:password@"), LIMITS):
            pass
    message = str(caught.value)
    assert url in message and "ConnectError" in message and "Start SandboxFusion" in message
    assert "password" not in message


async def test_a_url_of_something_else_is_said_at_the_start(server: StandIn) -> None:
    server.faults = [(404, b"no such page")] * 2
    with pytest.raises(SandboxUnavailable, match="HTTP status 404: no such page"):
        async with SandboxFusionExecutor(server.url, LIMITS):
            pass
    assert server.n_requests == 2


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://x", "http://", "file:///etc"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="must be the base of a running server"):
        SandboxFusionExecutor(url)


def test_what_a_server_runs_needs_no_newer_syntax_than_python_3_10() -> None:
    for path in shipped_files():
        ast.parse(path.read_text(), feature_version=(3, 10))


@pytest.mark.skipif(
    "SANDBOX_FUSION_URL" not in os.environ,
    reason="SANDBOX_FUSION_URL names no running SandboxFusion server",
)
async def test_a_real_server_runs_programs() -> None:
    async with SandboxFusionExecutor(os.environ["SANDBOX_FUSION_URL"], LIMITS, 2) as executor:
        report, outcomes = await _on_0_1_2(executor, "sum(range(10**11))")
        assert outcomes == [(OutcomeKind.TIMED_OUT, ""), (OutcomeKind.RETURNED, "2")]
        report, outcomes = await _on_0_1_2(executor, "os._exit(0)")
        assert report.status is ProgramStatus.KILLED
        assert outcomes[1] == (OutcomeKind.RETURNED, "2")
        source = "import threading\ndef f():\n    print('x' * 10**6)\n"
        source += "    threading.Thread(target=int).start()\n    return 'y' * 15000\n"
        report = await executor.call(source, "f", ["()"] * 100)
        assert {len(outcome.text) for outcome in report.outcomes} == {15_002}
        assert (await executor.check(ADD, "assert f(1, 2) == 3\n")).verdict is Verdict.PASSED
        assert (await executor.check(ADD, "assert f(1, 2) == 4\n")).verdict is Verdict.FAILED
