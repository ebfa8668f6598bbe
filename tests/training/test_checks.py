"""What would fail after a training fails before it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from ucoder import Run, load_config
from ucoder.components import Components
from ucoder.config import ConsolidationConfig
from ucoder.errors import TrainingError
from ucoder.models import Model, Origin
from ucoder.progress import Silent
from ucoder.steps import Steps
from ucoder.training import checkpoints
from ucoder.training.checkpoints import check_space, prepare
from ucoder.training.recipe import check_weights
from ucoder.training.sft import TRLTrainer
from ucoder.training.worker import _fitting

from .jobs import job


def _copy(checkpoint: Path, folder: Path, **files: Any) -> Path:
    """A copy of a checkpoint in which these JSON files have these further values."""
    shutil.copytree(checkpoint, folder)
    for name, values in files.items():
        file = folder / f"{name}.json"
        before = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        file.write_text(json.dumps({**before, **values}), "utf-8")
    return folder


def _prepared(
    folder: Path, output: Path, tokenizer_fault: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """What `prepare` writes as generation configuration; all of the model but its weights."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer_fault is not None:
        tokenizer.save_pretrained = tokenizer_fault
    model = AutoModelForCausalLM.from_pretrained(folder)
    asked = {"model": str(folder), "output": str(output), "is_chat": True}
    generation = prepare(model, tokenizer, asked, end=256)
    model.generation_config = generation
    model.save_pretrained(output)  # as after the training
    written: dict[str, Any] = json.loads((output / "generation_config.json").read_text("utf-8"))
    return written


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.9, "top_p": 0.6},
        {"do_sample": False, "top_k": 5, "min_p": 0.1},
        {"num_beams": 1, "length_penalty": 2.0, "early_stopping": True},
        {"use_cache": False, "cache_implementation": "static"},
    ],
)
def test_generation_settings_that_cannot_be_saved_are_left_out_and_token_ids_kept(
    tiny_checkpoint: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    ids = {"eos_token_id": [256, 3], "pad_token_id": 5, "bos_token_id": 7}
    base = _copy(tiny_checkpoint, tmp_path / "base", generation_config={**settings, **ids})
    written = _prepared(base, tmp_path / "out")
    assert {name: written[name] for name in ids} == ids
    assert not settings.keys() & written.keys()


def test_generation_settings_that_can_be_saved_are_kept(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    settings = {"do_sample": True, "temperature": 0.9, "top_p": 0.6, "eos_token_id": [256, 3]}
    base = _copy(tiny_checkpoint, tmp_path / "base", generation_config=settings)
    written = _prepared(base, tmp_path / "out")
    assert {name: written[name] for name in settings} == settings


@pytest.mark.parametrize("settings", [{"temperature": 0.7}, {"do_sample": True, "top_p": 0.6}])
def test_generation_settings_in_the_models_own_configuration_do_not_keep_it_from_being_saved(
    tiny_checkpoint: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    base = _copy(tiny_checkpoint, tmp_path / "base", config=settings)
    assert _prepared(base, tmp_path / "out")["eos_token_id"] == 256


def test_a_model_that_names_no_end_ends_as_it_was_trained_to(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    base = _copy(tiny_checkpoint, tmp_path / "base", generation_config={"eos_token_id": None})
    assert _prepared(base, tmp_path / "out")["eos_token_id"] == 256


@pytest.mark.parametrize(("before", "after"), [(7, [7, 256]), ([256, 7], [256, 7]), (256, 256)])
def test_generation_ends_at_the_token_that_was_trained_and_where_it_ended_before(
    tiny_checkpoint: Path, tmp_path: Path, before: Any, after: Any
) -> None:
    base = _copy(tiny_checkpoint, tmp_path / "base", generation_config={"eos_token_id": before})
    assert _prepared(base, tmp_path / "out")["eos_token_id"] == after


def test_folders_beside_the_tokenizers_files_do_not_keep_it_from_being_saved(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    base = _copy(tiny_checkpoint, tmp_path / "base")
    for name in ("tokenizer", "chat_template_old", "vocab.d"):
        (base / name).mkdir()
    _prepared(base, tmp_path / "out")
    assert not [path for path in (tmp_path / "out").iterdir() if path.is_dir()]


@pytest.mark.parametrize("fault", ["not copied", "template not copied", "a file in the way"])
def test_a_tokenizer_that_cannot_be_saved_is_refused_before_the_training(
    tiny_checkpoint: Path, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = {"not copied": (), "template not copied": ("tokenizer*",)}
    if fault in copied:
        monkeypatch.setattr(checkpoints, "_TOKENIZER_FILES", copied[fault])
    else:
        (tmp_path / "out").write_text("")
    with pytest.raises(SystemExit, match=r"tokenizer .*cannot be (written|saved)"):
        _prepared(tiny_checkpoint, tmp_path / "out")


@pytest.mark.parametrize("error", [NotImplementedError, KeyError, OSError])
def test_a_tokenizer_that_cannot_be_written_into_checkpoints_is_refused_before_the_training(
    tiny_checkpoint: Path, tmp_path: Path, error: type[Exception]
) -> None:
    def fail(folder: str) -> None:
        raise error("no way to write it")

    with pytest.raises(SystemExit, match=r"so it is not trained: .*no way to write it"):
        _prepared(tiny_checkpoint, tmp_path / "out", fail)


@pytest.mark.parametrize("method", ["bitsandbytes", "gptq", "fp8"])
def test_quantised_weights_are_refused_before_the_training(method: str) -> None:
    config = SimpleNamespace(quant_method=method)
    model = SimpleNamespace(hf_quantizer=SimpleNamespace(quantization_config=config))
    with pytest.raises(SystemExit, match=rf"\({method}\).*give the original checkpoint"):
        check_weights(model)
    check_weights(SimpleNamespace())


@pytest.mark.parametrize("method", ["awq", "compressed-tensors", "mxfp4"])
def test_a_quantised_checkpoint_is_refused_before_anything_is_sampled(
    tiny_checkpoint: Path, tmp_path: Path, method: str
) -> None:
    config = load_config("scripted", ["consolidation.provider=trl", "consolidation.lora={}"])
    steps = Steps(Run.create(tmp_path / "run", config), Components(config), Silent())
    base = _copy(
        tiny_checkpoint, tmp_path / "m", config={"quantization_config": {"quant_method": method}}
    )

    def model(path: Path) -> Any:
        return Model("m", path, "0", None, Origin.LOCAL, True)

    steps.components.model = lambda name: model(base)  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match=rf"quantised \({method}\)"):
        steps.first_model()
    steps.components.model = lambda name: model(tiny_checkpoint)  # type: ignore[method-assign]
    assert steps.first_model().path == tiny_checkpoint


def _model(n_tokens: int, context: int | None) -> Any:
    config = SimpleNamespace(max_position_embeddings=context)
    return SimpleNamespace(
        config=SimpleNamespace(get_text_config=lambda: config),
        get_input_embeddings=lambda: SimpleNamespace(num_embeddings=n_tokens),
    )


def _rows(*lengths: int, token: int = 1) -> list[dict[str, list[int]]]:
    return [{"input_ids": [token] * length} for length in lengths]


def test_examples_beyond_the_models_context_are_left_out_like_those_beyond_max_length() -> None:
    rows = _rows(64, 65, 300)
    assert _fitting(rows, 64, _model(9, None)) == _fitting(rows, 2048, _model(9, 64)) == rows[:1]
    with pytest.raises(SystemExit, match="longer than the model's context of 50 tokens"):
        _fitting(rows, 2048, _model(9, 50))


@pytest.mark.parametrize("token", [9, 50_000])
def test_a_tokenizer_with_tokens_that_the_model_lacks_is_refused(token: int) -> None:
    with pytest.raises(SystemExit, match=f"writes token {token}, and the model knows .* 0 to 8"):
        _fitting(_rows(4, token=token), 64, _model(9, 64))


class _Disk(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize(
    ("settings", "n_kept", "need_bytes"),
    [
        # Ten million parameters, one million of which are trained.
        ({"epochs": 3.0}, 0, 12_000_000 + 40_000_000),
        ({"epochs": 1.0}, 0, 12_000_000 + 40_000_000),
        ({"epochs": 3.0, "checkpoint_steps": 500}, 0, 12_000_000 + 40_000_000),
        ({"epochs": 3.0}, 1, 40_000_000),
        ({"save_precision": "bfloat16"}, 0, 12_000_000 + 20_000_000),
    ],
)
def test_a_disk_without_room_for_checkpoints_and_model_is_refused(
    settings: dict[str, Any],
    n_kept: int,
    need_bytes: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def parameter(size: int, trained: bool) -> Any:
        return SimpleNamespace(numel=lambda: size, requires_grad=trained)

    parts = [parameter(9_000_000, False), parameter(1_000_000, True)]
    trainer = SimpleNamespace(model=SimpleNamespace(parameters=lambda: parts))
    config = ConsolidationConfig.model_validate(settings)

    def check(free: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: _Disk(10**12, 0, free))
        check_space(trainer, {"output": str(tmp_path)}, config, n_kept)

    check(need_bytes)
    with pytest.raises(SystemExit, match=r"MiB for checkpoints and the model, .*make room"):
        check(need_bytes - 1)


@pytest.mark.parametrize("place", ["file/checkpoints/out", "n" * 250])
async def test_an_output_folder_that_cannot_be_made_is_a_sentence(
    tiny_checkpoint: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match=r"nothing can be written to .*make the folder"):
        await TRLTrainer().train(job(tiny_checkpoint, tmp_path / place), lambda *_: None)
