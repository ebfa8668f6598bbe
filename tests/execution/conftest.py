"""One sandbox for each provider, shared by a module's tests: each attack meets a used worker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ucoder.execution import (
    CallReport,
    CheckReport,
    Executor,
    Limits,
    Outcome,
    OutcomeKind,
    open_executor,
)

LIMITS = Limits(
    call_timeout_s=0.4,
    program_timeout_s=2.5,
    memory_limit_mib=128,
    output_limit_bytes=20_000,
    n_processes=16,
    file_size_mib=4,
)


@dataclass
class Sandbox:
    """An executor and the loop that it lives in, so that a test reads without `await`."""

    runner: asyncio.Runner
    executor: Executor

    def call(self, source: str, *inputs: str, entry_point: str = "f") -> CallReport:
        return self.runner.run(self.executor.call(source, entry_point, inputs or ("()",)))

    def one(self, source: str, arguments: str = "()") -> Outcome:
        """Call once, and tell what that call came to."""
        return self.call(source, arguments).outcomes[0]

    def value(self, body: str) -> str:
        """The canonical text of what a function with this body returns."""
        outcome = self.one("def f():\n" + "".join(f"    {line}\n" for line in body.splitlines()))
        assert outcome.kind is OutcomeKind.RETURNED, outcome
        return outcome.text

    def check(
        self,
        source: str,
        tests: str | None = None,
        timeout_s: float | None = None,
        *,
        entry_point: str | None = None,
        as_script: bool = False,
    ) -> CheckReport:
        checking = self.executor.check(
            source, tests, timeout_s, entry_point=entry_point, as_script=as_script
        )
        return self.runner.run(checking)

    def assert_serves(self) -> None:
        """The next honest program is served as if nothing had been."""
        report = self.call("def f(a, b):\n    return a + b\n", "(1, 2)", "('a', 'b')")
        assert [outcome.text for outcome in report.outcomes] == ["3", "'ab'"], report


def _open(provider: str) -> Iterator[Sandbox]:
    with asyncio.Runner() as runner:
        executor = open_executor(provider, LIMITS, n_workers=1)
        runner.run(executor.__aenter__())
        try:
            yield Sandbox(runner, executor)
        finally:
            runner.run(executor.__aexit__(None, None, None))


@pytest.fixture(scope="module", params=["bubblewrap", "unsafe-process"])
def _any_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    yield from _open(request.param)


@pytest.fixture(scope="module")
def _isolating_sandbox() -> Iterator[Sandbox]:
    yield from _open("bubblewrap")


@pytest.fixture
def sandbox(_any_sandbox: Sandbox) -> Iterator[Sandbox]:
    """Any provider; whatever the test did, the next program is served."""
    yield _any_sandbox
    _any_sandbox.assert_serves()


@pytest.fixture
def isolated(_isolating_sandbox: Sandbox) -> Iterator[Sandbox]:
    """A provider that isolates; whatever the test did, the next program is served."""
    yield _isolating_sandbox
    _isolating_sandbox.assert_serves()
