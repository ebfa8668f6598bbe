"""Stage 6: how the model is fine-tuned."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ucoder.config.section import Positive, Section


class LoraConfig(Section):
    """Low-rank adaptation (PEFT), on all linear layers; merged after training."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 16
    """Rank of the two factors that are trained for each weight matrix."""
    alpha: Annotated[float, Field(gt=0.0)] = 32.0
    """Scale of the update: it is multiplied by alpha / rank."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Dropout on the input of the adapter, during training."""


class ConsolidationConfig(Section):
    """Stage 6: supervised fine-tuning (section 3.1), and how often stages 5 and 6 repeat."""

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
    epochs: Annotated[float, Field(gt=0.0)] = 3.0
    """Passes over the training pairs in each iteration."""
    learning_rate: Annotated[float, Field(gt=0.0, lt=1.0)] = 5e-6
    """Peak learning rate of AdamW; LoRA usually needs a larger one than full fine-tuning."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate decays after the warm-up."""
    warmup_ratio: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the steps in which the learning rate rises. The paper gives none."""
    batch_size: Positive = 128
    """Examples per optimiser step, reached by gradient accumulation."""
    micro_batch_size: Positive = 4
    """Examples per forward pass of one process."""
    max_length: Annotated[int, Field(ge=64)] = 2048
    """Longest example, in tokens; those longer than this or than the model's context are left out
    and counted."""
    lora: LoraConfig | None = None
    """Null: full fine-tuning, as in the paper."""
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
