"""Stage 6: how the model is fine-tuned."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ucoder.config.section import Positive, Section, Share

ExamplesPolicy = Literal["keep", "correct", "drop", "reject"]
"""What is done where the selected program does not return what an example says."""


ChooseRule = Literal["perplexity", "shortest", "fastest", "maintainable"]
"""Which member of the winning cluster is trained on."""


class DifficultyTarget(Section):
    """How the training pairs are to be shared among the classes of difficulty."""

    easy: Share = 0.2
    """Share of the pairs whose problem is easy."""
    medium: Share = 0.5
    """Share of those in between."""
    hard: Share = 0.3
    """Share of those whose problem is hard."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = self.easy + self.medium + self.hard
        if abs(total - 1) > 1e-6:
            raise ValueError(f"easy, medium and hard add up to {total:g}; they must add up to 1")
        return self


class DifficultyConfig(Section):
    """How difficulty is estimated from a problem's candidates, and what share of each is wanted."""

    easy_from: Share = 0.8
    """A problem is easy where at least this share of the candidates behaves like the selected one,
    and the greedy answer, if one was sampled, behaves like it too."""
    hard_below: Share = 0.4
    """A problem is hard where a smaller share of the candidates behaves like the selected one."""
    target: DifficultyTarget | None = None
    """Wanted shares, such as `{easy: 0.2, medium: 0.5, hard: 0.3}`: pairs beyond the share of their
    class are left out, chosen by the seed, as shares of `consolidation.n_pairs`, or of all pairs
    where that is null. Null: all pairs are kept, as in the paper."""

    @model_validator(mode="after")
    def _classes_do_not_overlap(self) -> Self:
        if self.hard_below > self.easy_from:
            raise ValueError(
                f"hard_below={self.hard_below:g} is above easy_from={self.easy_from:g}, so that a "
                f"problem could be both; lower hard_below or raise easy_from"
            )
        return self


class LoraConfig(Section):
    """Low-rank adaptation (PEFT), on all linear layers; merged after training."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 16
    """Rank of the two factors that are trained for each weight matrix."""
    alpha: Annotated[float, Field(gt=0.0)] = 32.0
    """Scale of the update: it is multiplied by alpha / rank."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Dropout on the input of the adapter, during training."""


class DpoConfig(Section):
    """Direct preference optimisation: the chosen program against a rejected one."""

    beta: Annotated[float, Field(gt=0.0)] = 0.1
    """How strongly the trained model is held to the one before it."""
    sft_weight: Annotated[float, Field(ge=0.0)] = 0.2
    """Weight of a term that learns the chosen program as SFT does, so that its probability does not
    fall together with that of the rejected one; 0: no such term."""


class ConsolidationConfig(Section):
    """Stage 6: fine-tuning (section 3.1: supervised), and how often stages 5 and 6 repeat."""

    provider: Literal["trl", "scripted", "none"] = "trl"
    """`trl` trains; `none` ends the run with the training pairs, for a data set or your own
    trainer; `scripted` copies the model unchanged (tests)."""
    pairs: Literal["selected", "runnable", "all", "oracle"] = "selected"
    """Which candidates become training pairs. `selected`: the one that the selector chose for each
    problem, as in the paper. `runnable`: every one that returns on some input. `all`: every one
    that came to its end, as in self-distillation without a filter. `oracle`: a right one for each
    problem, by the reference programs; for `problems.source=known-answers` alone."""
    iterations: Annotated[int, Field(ge=0, le=100)] = 7
    """Passes over stages 5 and 6: the paper runs iterations 0 to 6."""
    examples: ExamplesPolicy = "keep"
    """What to do with an example in a statement or docstring that the selected program does not
    reproduce. `keep`: leave it; `correct`: write what the program returns; `drop`: remove the
    example; `reject`: leave the problem out. But for `keep`, examples that cannot be verified are
    removed. A statement from outside is never changed: a contradicted one is left out. The paper
    does not say."""
    choose: ChooseRule = "perplexity"
    """Which program of the winning cluster, whose members behave alike, a pair teaches.
    `perplexity`: the selected one, as in the paper; `shortest`: fewest tokens without comments and
    docstring; `fastest`: least CPU time on the inputs; `maintainable`: docstring, annotations and
    few branches (`ucoder.pairs.quality`)."""
    replay: Share = 1.0
    """Share of the pairs to keep whose greedy answer behaves like the selected program already;
    1: all, as in the paper."""
    changed_weight: Annotated[float, Field(gt=0.0, le=1000.0)] = 1.0
    """Weight in the loss of the other pairs, whose greedy answer behaves differently."""
    n_pairs: Positive | None = None
    """Training pairs wanted of iteration 0: more rounds of `problems.n` problems are found and
    solved until there are as many, with the shares of `difficulty.target` if it is set, or the
    attempts are used up; pairs beyond are left out, in every iteration. Null: one round and all its
    pairs, as in the paper."""
    difficulty: DifficultyConfig = DifficultyConfig()
    objective: Literal["sft", "dpo"] = "sft"
    """`sft`, as in the paper: learn the selected programs. `dpo`: learn to prefer them to programs
    that behave differently, on the run's preference pairs."""
    dpo: DpoConfig = DpoConfig()
    """Settings of `objective: dpo`."""
    epochs: Annotated[float, Field(gt=0.0)] = 3.0
    """Passes over the training pairs in each iteration."""
    learning_rate: Annotated[float, Field(gt=0.0, lt=1.0)] = 5e-6
    """Peak learning rate of AdamW; LoRA usually needs a larger one than full fine-tuning."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate decays after the warm-up."""
    warmup_ratio: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the steps in which the learning rate rises. The paper gives none."""
    batch_size: Positive = 128
    """Examples (or preference pairs) per optimiser step, reached by gradient accumulation."""
    micro_batch_size: Positive = 4
    """Examples per forward pass of one process."""
    max_length: Annotated[int, Field(ge=64)] = 2048
    """Longest example, in tokens; those longer than this or than the model's context are left out
    and counted."""
    lora: LoraConfig | None = None
    """Null: full fine-tuning, as in the paper."""
    save_precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the trained checkpoint. Fine-tuning changes most weights by less than bfloat16
    can tell apart, so `bfloat16` takes half the disk and loses a part of what was learnt."""
    packing: bool = False
    """Join short examples to sequences of `max_length`, each attending to itself alone: fewer
    padding tokens, and other batches than the paper's."""
    gradient_checkpointing: bool | None = None
    """Recompute activations in the backward pass instead of keeping them; null: on a GPU only."""
    n_processes: Positive | None = None
    """Processes that train together, one per GPU; null: as many as there are GPUs."""
    strategy: Literal["ddp", "fsdp", "deepspeed"] = "fsdp"
    """How several processes share the model: `ddp` keeps a whole copy in each, `fsdp` (PyTorch) and
    `deepspeed` (ZeRO stage 3, untested) split weights, gradients and optimiser states."""
    checkpoint_steps: Positive | None = None
    """Optimiser steps between checkpoints to resume from; null: one checkpoint per epoch."""
    metrics: tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...] = ("tensorboard",)
    """Where loss and learning rate are logged: TensorBoard's files are in the run's `metrics`
    folder, the others take addresses and keys from their own environment variables."""

    @model_validator(mode="after")
    def _one_iteration_without_training(self) -> Self:
        if self.provider == "none" and self.iterations > 1:
            raise ValueError(
                f"provider=none trains no model, so iterations={self.iterations} cannot go beyond "
                f"the first; set iterations=1"
            )
        return self

    @model_validator(mode="after")
    def _pairs_are_not_packed(self) -> Self:
        if self.objective == "dpo" and self.packing:
            raise ValueError("objective=dpo compares two programs a row: set packing to false")
        return self

    @model_validator(mode="after")
    def _batch_divides(self) -> Self:
        together = self.micro_batch_size * (self.n_processes or 1)
        if self.batch_size % together:
            raise ValueError(
                f"batch_size={self.batch_size} is not a multiple of "
                f"micro_batch_size={self.micro_batch_size}"
                + f" x n_processes={self.n_processes}" * (self.n_processes is not None)
                + "; gradient accumulation needs a whole number"
            )
        return self
