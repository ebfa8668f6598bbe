"""What can be known when a run starts is said then, before its folder is made."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ucoder import Run, load_config, run_pipeline
from ucoder.cli.app import app
from ucoder.components import Components
from ucoder.engines.openai import OpenAIEngine
from ucoder.engines.openai_requests import Capabilities, PrefillMode
from ucoder.errors import (
    BenchmarkError,
    ConfigError,
    EngineError,
    FileError,
    MissingDependency,
    RunError,
    UcoderError,
)
from ucoder.models import Model, Origin
from ucoder.requirements import check_requirements
from ucoder.runs.directory import check_output

SMALL = [
    "problems.n=2", "evaluation.benchmarks=[]", "evaluation.n_tasks=null", "solutions.n=4",
    "test_inputs.n=5",
]  # fmt: skip
OWN = """
from ucoder.engines.protocol import Prompt
from ucoder.evaluation.protocol import Benchmark, Dataset, Task

async def grader(context):
    raise NotImplementedError

BENCHMARK = Benchmark(
    name="own", title="Own",
    load=lambda path: Dataset((Task("a", "Ask", "f", {}), Task("b", "Ask", "g", {})), "own", "0"),
    prompt=lambda task: Prompt(task.text),
    program=lambda task, text, is_chat: text,
    grader=grader,
    base_models=False,
)
"""


def refused(tmp_path: Path, *settings: str) -> tuple[UcoderError, str]:
    """The error of `ucoder run` with these settings, given twice, and the second one's message."""
    target = tmp_path / "runs" / "new"
    said = [
        CliRunner().invoke(app, ["run", "scripted", *SMALL, *settings, "-o", str(target)])
        for _ in range(2)
    ]
    assert not target.exists()
    first, second = (one.exception for one in said)
    assert isinstance(first, UcoderError) and isinstance(second, UcoderError)
    assert str(first) == str(second), "the same command can be given again"
    return second, str(second)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        (["evaluation.benchmarks=[{tmp}/own.py]", "evaluation.n_tasks=3"], BenchmarkError,
         "n_tasks=3: Own has 2 tasks; lower it"),
        (["evaluation.benchmarks=[{tmp}/absent.py]"], BenchmarkError, "absent.py is not a file"),
        (["evaluation.benchmarks=[{tmp}/broken.py]"], BenchmarkError,
         "broken.py cannot be imported: ModuleNotFoundError"),
        (["evaluation.benchmarks=[mbpp]", "evaluation.data.mbpp={tmp}/absent"], BenchmarkError,
         "absent is not a file"),
        (["evaluation.contamination.benchmarks=[mbpp+]", "evaluation.data={mbpp+: /absent}"],
         BenchmarkError, "absent is not a file"),
        (["problems.topics={tmp}/absent.txt"], ConfigError, "give a text file, one topic a line"),
        (["problems.topics={tmp}/empty.txt"], ConfigError, "holds no topic"),
        (["engine.script={tmp}/absent.yaml"], ConfigError, "is not a valid script"),
        (["engine=vllm"], MissingDependency, 'pip install "ucoder[vllm]"'),
        (["consolidation={provider: trl, metrics: [wandb]}"], MissingDependency,
         'pip install "ucoder[wandb]"'),
        (["consolidation={provider: none, iterations: 1}", "engine.provider=openai",
          "engine.server={url: 'http://127.0.0.1:9/v1', max_retries: 0}"], EngineError,
         "cannot be reached"),
        (["engine=openvino", "solutions.selector=low_perplexity",
          "solutions.sampling.temperature=0.7"], ConfigError, "needs raw log-probabilities"),
        (["engine=transformers", "model=no-such-model"], UcoderError, "is not a catalog name"),
    ],
)  # fmt: skip
def test_what_a_start_can_know_is_refused_before_the_folder_exists(
    tmp_path: Path, settings: list[str], kind: type[UcoderError], message: str
) -> None:
    for module in ("vllm", "wandb"):
        if module in message and importlib.util.find_spec(module) is not None:
            pytest.skip(f"{module} is installed")
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "broken.py").write_text("import a_library_that_does_not_exist\n")
    (tmp_path / "empty.txt").write_text("# no topic\n")
    error, said = refused(tmp_path, *(one.replace("{tmp}", str(tmp_path)) for one in settings))
    assert isinstance(error, kind) and message in said


def test_several_faults_are_told_at_once(tmp_path: Path) -> None:
    _, said = refused(tmp_path, "problems.topics=/absent.txt", "evaluation.benchmarks=[/none.py]")
    assert "2 faults" in said and "/absent.txt" in said and "/none.py" in said


@pytest.mark.parametrize("place", ["file/run", "file", "full"])
def test_an_output_that_cannot_be_written_is_refused_at_the_start(
    tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").write_text("")
    arguments = ["run", "scripted", *SMALL, "problems.topics=/absent"]
    done = CliRunner().invoke(app, [*arguments, "-o", str(tmp_path / place)])
    assert isinstance(done.exception, RunError | FileError) and "topics" not in str(done.exception)
    assert "name another" in str(done.exception)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_permission_is_refused_at_the_start(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(FileError, match=r"permission"):
        check_output(tmp_path / "run")


def test_looking_at_an_output_leaves_nothing_behind(tmp_path: Path) -> None:
    check_output(tmp_path / "a" / "b" / "run")
    assert not list(tmp_path.iterdir())


class Served(Components):
    """Components whose model is a base model, or whose server lacks abilities."""

    found = Capabilities(next(iter(PrefillMode)))

    def model(self, name_or_path: str) -> Model:
        return Model(name_or_path, Path(name_or_path), "", None, Origin.SERVER, False)

    def engine(self, model: Model, exports: Path | None = None) -> Any:
        engine = OpenAIEngine(self.config.engine.server, is_chat=False)
        found = self.found

        class Entered(OpenAIEngine):
            async def __aenter__(self) -> Any:
                return self

            def _entered(self) -> Any:
                client = type("Client", (), {"address": "http://served"})
                return type("Model", (), {"client": client}), found

        engine.__class__ = Entered
        return engine


SERVER = [
    "engine.provider=openai", "engine.server.url=http://127.0.0.1:9/v1",
    "consolidation={provider: none, iterations: 1}",
]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["problems.sampling.top_k=64"], r"problems.sampling: .* ignores top_k=64; set it to 0"),
        (["ratings.sampling.temperature=1", "test_inputs.sampling.top_k=3"],
         r"test_inputs.sampling: .* ignores top_k=3"),
        ([], r"ratings.sampling: .* cannot sample greedily; set a temperature above 0"),
        (["ratings.sampling.temperature=1", "solutions.selector=low_perplexity"],
         "needs raw log-probabilities, which this server does not return"),
    ],
)  # fmt: skip
async def test_a_server_that_cannot_sample_as_configured_is_refused_with_the_setting(
    settings: list[str], message: str
) -> None:
    pytest.importorskip("openai")
    config = load_config("scripted", [*SMALL, *SERVER, *settings])
    with pytest.raises(EngineError, match=message):
        await check_requirements(Served(config))


async def test_a_benchmark_for_chat_models_is_refused_for_a_base_model(tmp_path: Path) -> None:
    pytest.importorskip("openai")
    (tmp_path / "own.py").write_text(OWN)
    settings = [*SMALL, *SERVER, f"evaluation.benchmarks=[{tmp_path / 'own.py'}]"]
    with pytest.raises(BenchmarkError, match="Own asks in words and cannot be run on a base model"):
        await check_requirements(Served(load_config("scripted", settings)))


async def test_a_run_begun_elsewhere_is_resumed_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("own.py").write_text(OWN)
    Path("topics.txt").write_text("strings: palindromes\n")
    Path("script.yaml").write_text("rules: []\n")
    settings = [
        *SMALL, "evaluation.benchmarks=[own.py]", "problems.topics=topics.txt",
        "evaluation.contamination.benchmarks=[own.py]", "engine.script=script.yaml",
        "evaluation.data={own: topics.txt}",
    ]  # fmt: skip
    run = Run.create(Path("run"), load_config("scripted", settings))
    monkeypatch.chdir(tmp_path / "there")
    again = Run.open(Path("../here/run"))
    assert again.config.problems.topics == tmp_path / "here" / "topics.txt"
    assert again.config.evaluation.data == {"own": tmp_path / "here" / "topics.txt"}
    await check_requirements(Components(again.config), again)
    assert run.config == again.config


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("folder", "{here}/folder"),
        ("./folder", "{here}/folder"),
        ("folder:M1", "{here}/folder:M1"),
        ("qwen2.5-coder-0.5b-instruct", "qwen2.5-coder-0.5b-instruct"),
        ("org/name", "org/name"),
        ("123", "{here}/123"),
        ("", ""),
    ],
)
def test_a_models_path_is_stored_so_that_it_holds_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, stored: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("folder", "123", "qwen2.5-coder-0.5b-instruct"):
        Path(folder).mkdir()
    run = Run.create(Path("run"), load_config("scripted", [f"model='{name}'"]))
    assert run.config.model == stored.replace("{here}", str(tmp_path))


async def test_the_pipeline_checks_a_run_that_was_made_in_python_as_well(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", load_config("scripted", [*SMALL, "problems.topics=/none"]))
    with pytest.raises(ConfigError, match="one topic a line"):
        await run_pipeline(run)
    assert not run.attempts.keys()


@pytest.mark.parametrize("name", ["7", ":M1", "", "qwen:M1", "org/name:M12", "a:M"])
def test_a_name_that_only_looks_like_a_models_of_a_run_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Run.named(name) is None
