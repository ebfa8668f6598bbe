"""What a training minimises: weighted examples, and preference pairs."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from ucoder import Run, load_config
from ucoder.components import Components
from ucoder.config import parse_config
from ucoder.errors import ConfigError, NothingToDo, TrainingError
from ucoder.models import Model, Origin
from ucoder.progress import Silent
from ucoder.records import Example
from ucoder.steps import Steps
from ucoder.training import recipe
from ucoder.training.protocol import TrainingJob, TrainingResult
from ucoder.training.rendering import example_rows, preference_rows
from ucoder.training.sft import TRLTrainer

from .jobs import EXAMPLES, LORA, PAIRS, job, train_here

WEIGHTS = (1.0, 3.0, 0.5)


def _weighted(*weights: float) -> list[Example]:
    return [replace(one, weight=w) for one, w in zip(EXAMPLES, weights, strict=False)]


def _by_hand(model: Path, examples: list[Example]) -> float:
    """sum(w * nll) / sum(w) over completions and their ends, from the model's own logits."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    computes = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    total = weight = 0.0
    for one in examples:
        prompt = tokenizer(one.prompt + one.prefill)["input_ids"]
        learnt = [*tokenizer(one.completion)["input_ids"], 256]
        with torch.no_grad():
            logits = computes(torch.tensor([prompt + learnt])).logits[0]
        said = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        nll = -sum(said[at, token] for at, token in enumerate(learnt))
        total, weight = total + one.weight * float(nll), weight + one.weight * len(learnt)
    return total / weight


@pytest.fixture
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute like a processor without bfloat16 instructions, to compare exactly."""
    monkeypatch.setattr(recipe, "processor_has_bfloat16", lambda: False)


@pytest.mark.usefixtures("in_float32")
@pytest.mark.parametrize("packing", [False, True], ids=["padded", "packed"])
def test_the_loss_of_a_batch_is_its_weighted_mean_over_tokens(
    tiny_checkpoint: Path, tmp_path: Path, packing: bool
) -> None:
    examples = _weighted(*WEIGHTS)
    # All in one optimiser step: two in a forward pass and one in the next, or one packed row.
    asked = job(tiny_checkpoint, tmp_path / "out", examples, epochs=1, packing=packing)
    result = train_here(asked)
    assert result["n_steps"] == 1
    weighted = _by_hand(tiny_checkpoint, examples)
    assert result["loss"] == pytest.approx(weighted, rel=1e-5)
    assert _by_hand(tiny_checkpoint, EXAMPLES[:3]) != pytest.approx(weighted, rel=1e-3)


def test_equal_weights_train_exactly_the_model_that_no_weights_train(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    files = []
    for name, weight in (("plain", 1.0), ("equal", 0.3)):
        asked = job(tiny_checkpoint, tmp_path / name, _weighted(*[weight] * 6), epochs=1)
        train_here(asked)
        files.append((asked.output / "model.safetensors").read_bytes())
    assert files[0] == files[1]


def test_an_example_of_weight_0_moves_nothing(tiny_checkpoint: Path, tmp_path: Path) -> None:
    files = []
    for name, answer in (("one", "pass"), ("other", "return 1")):
        ignored = replace(EXAMPLES[1], completion=answer.ljust(8), weight=0.0)
        asked = job(tiny_checkpoint, tmp_path / name, [EXAMPLES[0], ignored], epochs=1)
        train_here(asked)
        files.append((asked.output / "model.safetensors").read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf, 0.0])
def test_weights_that_mean_nothing_are_refused(tiny_checkpoint: Path, weight: float) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint)
    example = {"prompt": "p", "prefill": "", "completion": "c", "weight": weight}
    with pytest.raises(ValueError, match="weight"):
        example_rows(tokenizer, [example], is_chat=False, end=256)


@pytest.mark.usefixtures("in_float32")
def test_the_first_steps_loss_and_accuracy_are_those_of_the_model_before_training(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    asked = job(tiny_checkpoint, tmp_path / "out", EXAMPLES[:4], epochs=3, learning_rate=1e-2)
    result = train_here(asked)
    assert result["first_loss"] == pytest.approx(_by_hand(asked.model, EXAMPLES[:4]), rel=1e-5)
    assert result["loss"] < result["first_loss"]
    assert 0.0 <= result["first_accuracy"] < 0.1  # of a random model


def test_both_sides_of_a_pair_follow_the_same_prompt_and_end(tiny_checkpoint: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint)
    pair = {"prompt": "Add.", "prefill": "```\n", "chosen": "x = 1", "rejected": "x = '<|end|>'"}
    (row,) = preference_rows(tokenizer, [pair], is_chat=True, end=256)
    read = {name: tokenizer.decode(tokens) for name, tokens in row.items()}
    assert read == {
        "prompt_ids": "Add.```\n",
        "chosen_ids": "x = 1<|end|>",
        "rejected_ids": "x = '<|end|>'<|end|>",
    }
    # In the program it is text, at its end it is the token.
    assert row["rejected_ids"].count(256) == row["chosen_ids"].count(256) == 1


def _log_probability(model: Path, row: dict[str, list[int]], side: str) -> float:
    import torch
    from transformers import AutoModelForCausalLM

    computes = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    prompt, answer = row["prompt_ids"], row[side]
    with torch.no_grad():
        said = computes(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    return sum(float(said[len(prompt) - 1 + at, token]) for at, token in enumerate(answer))


def _margin(model: Path, row: dict[str, list[int]]) -> float:
    chosen, rejected = (_log_probability(model, row, f"{s}_ids") for s in ("chosen", "rejected"))
    return chosen - rejected


@pytest.mark.parametrize("lora", [LORA, None], ids=["lora", "full"])
def test_preference_training_raises_the_chosen_program_over_the_rejected_one(
    tiny_checkpoint: Path, tmp_path: Path, lora: Any
) -> None:
    from transformers import AutoTokenizer

    asked = job(
        tiny_checkpoint, tmp_path / "out", objective="dpo", lora=lora, epochs=4, learning_rate=5e-3
    )  # fmt: skip
    result = train_here(asked)
    assert (result["n_examples"], result["n_left_out"], result["n_steps"]) == (8, 0, 8)
    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint)
    rows = preference_rows(tokenizer, [asdict(pair) for pair in PAIRS], True, 256)
    for row in rows:
        assert _margin(asked.output, row) > _margin(tiny_checkpoint, row) + 1.0


def test_the_first_loss_of_preference_training_is_that_of_no_preference(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """The model is its own reference then: log 2, and nothing else without the SFT term."""
    asked = job(
        tiny_checkpoint, tmp_path / "out", objective="dpo", dpo={"sft_weight": 0.0}, lora=LORA,
        epochs=1,
    )  # fmt: skip
    assert train_here(asked)["first_loss"] == pytest.approx(math.log(2), abs=1e-4)


async def test_preference_training_without_pairs_is_refused(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    asked = replace(job(tiny_checkpoint, tmp_path / "out", objective="dpo"), preferences=())
    with pytest.raises(TrainingError, match="there are none; set it to sft"):
        await TRLTrainer().train(asked, lambda *_: None)


def test_pairs_longer_than_the_limit_are_left_out(tiny_checkpoint: Path, tmp_path: Path) -> None:
    asked = job(tiny_checkpoint, tmp_path / "out", objective="dpo", lora=LORA, epochs=1)
    long = replace(PAIRS[0], rejected="x" * 200)
    assert train_here(replace(asked, preferences=[*PAIRS[:4], long]))["n_left_out"] == 1


def test_packing_pairs_is_refused_when_the_configuration_is_read() -> None:
    with pytest.raises(ConfigError, match="set packing to false"):
        parse_config({"consolidation": {"objective": "dpo", "packing": True}})


class _Recorder:
    """A trainer that keeps what it is asked for, and trains nothing."""

    def __init__(self) -> None:
        self.jobs: list[TrainingJob] = []

    async def train(self, asked: TrainingJob, on_step: Any) -> TrainingResult:
        self.jobs.append(asked)
        raise TrainingError("asked")


@pytest.mark.parametrize("objective", ["sft", "dpo"])
async def test_a_run_trains_on_its_pairs_where_the_objective_needs_them(
    tmp_path: Path, objective: str
) -> None:
    config = load_config("scripted", [f"consolidation.objective={objective}"])
    run = Run.create(tmp_path / "run", config)
    steps = Steps(run, Components(config), Silent())
    recorder = _Recorder()
    steps.components.trainer = lambda: recorder  # type: ignore[method-assign]
    model = Model("m", tmp_path, "0", None, Origin.LOCAL, True)

    async def fine_tune() -> None:
        await steps.fine_tune(0, EXAMPLES, model)

    if objective == "dpo":
        with pytest.raises(NothingToDo, match=r"no preference pairs .*objective=sft"):
            await fine_tune()
        assert not recorder.jobs
    run.preferences(0).put("preferences", PAIRS)
    with pytest.raises(TrainingError, match="asked"):
        await fine_tune()
    (asked,) = recorder.jobs
    assert list(asked.preferences) == (PAIRS if objective == "dpo" else [])
