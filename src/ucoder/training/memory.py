"""How much memory training takes: a formula; no model is loaded and nothing is measured.

In bytes a GPU, for P parameters of which T are trained, P_1 of them in one layer, n processes,
hidden size h, MLP size i, L layers, vocabulary V, and t = micro batch x sequence length tokens in a
forward pass, twice that for preference pairs, which are two sequences:

    weights      full: 4 P, float32. LoRA: 2 P, the bfloat16 base, and 4 T, the float32 adapter
    gradients    4 T
    optimiser    8 T: AdamW's two moments
    copies       ddp, and one process: 2 T, autocast's bfloat16 weights, and on several processes
                 4 T, the buckets of the reduction. fsdp, deepspeed: 4 P_1 + 4 V h, the bfloat16
                 weights of two layers and of embedding and head, gathered while they are used, and
                 6 P_1, one layer's gradients in transit, in full training
    activations  t (34 h + 8 i) a layer, kept for the backward pass; with gradient checkpointing
                 4 t h in every layer, its input, and t (34 h + 8 i) in the current one. LoRA
                 adds t (24 h + 4 i): PEFT keeps a float32 copy of each linear layer's input
    logits       2 min(t, 4096) min(V, 32768), the tile in which TRL (1.16 and later) processes the
                 vocabulary, instead of the 4 t V of a whole float32 matrix; in full training also
                 4 V h, the accumulator of the head's gradient

`fsdp` and `deepspeed` divide weights, gradients and optimiser states by n. The activations of a
layer are counted after Korthikanti et al., "Reducing Activation Recomputation in Large Transformer
Models" (arXiv 2205.05198, section 4.1), for RMSNorm in float32, a gated MLP, no dropout, and an
attention that never stores its scores. Fragmentation and the libraries' own buffers are left out:
leave a tenth of a GPU free. docs/training.md compares the formula with a measurement.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from ucoder.config import ConsolidationConfig

_TILE_TOKENS, _TILE_VOCABULARY = 4_096, 32_768


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The sizes of a decoder with gated MLPs that determine its memory.

    Attributes:
        n_parameters: All of them.
        hidden_size: Width of the residual stream.
        intermediate_size: Width of the MLP.
        key_value_size: Key-value heads x their size.
        n_layers: Transformer layers.
        vocabulary_size: Rows of the embedding.
    """

    n_parameters: int
    hidden_size: int
    intermediate_size: int
    key_value_size: int
    n_layers: int
    vocabulary_size: int

    @classmethod
    def of(cls, model: Path) -> Self:
        """The shape of a checkpoint, from its config.json.

        Raises:
            KeyError: config.json is not that of such a decoder.
            OSError: config.json does not exist or cannot be read.
            ValueError: It is invalid JSON.
        """
        config = json.loads((model / "config.json").read_text("utf-8"))
        hidden, heads = config["hidden_size"], config["num_attention_heads"]
        head_size = config.get("head_dim") or hidden // heads
        shape = cls(
            n_parameters=0,
            hidden_size=hidden,
            intermediate_size=config["intermediate_size"],
            key_value_size=head_size * (config.get("num_key_value_heads") or heads),
            n_layers=config["num_hidden_layers"],
            vocabulary_size=config["vocab_size"],
        )
        tables = 1 if config.get("tie_word_embeddings") else 2
        n_parameters = shape.n_layers * shape.layer_parameters + tables * shape.table_parameters
        return replace(shape, n_parameters=n_parameters)

    @property
    def layer_parameters(self) -> int:
        """Of one layer: query, key, value, output, and the MLP's three; norms are neglected."""
        attention = 2 * self.hidden_size * (self.hidden_size + self.key_value_size)
        return attention + 3 * self.hidden_size * self.intermediate_size

    @property
    def table_parameters(self) -> int:
        """Of the embedding, or of the head."""
        return self.vocabulary_size * self.hidden_size

    def adapter_parameters(self, rank: int) -> int:
        """Of a LoRA adapter on all linear layers except the head."""
        hidden, middle = self.hidden_size, self.intermediate_size
        widths = 2 * 2 * hidden + 2 * (hidden + self.key_value_size) + 3 * (hidden + middle)
        return rank * widths * self.n_layers


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """Bytes by purpose. On one GPU, by the module's formula.

    Attributes:
        weights: Weights of base and adapter.
        gradients: Gradients of what is trained.
        optimiser: AdamW's moments.
        copies: Copies of weights and gradients in other precisions or in transit.
        activations: Activations kept for the backward pass.
        logits: The tile of logits, and the head's gradient.
    """

    weights: int
    gradients: int
    optimiser: int
    copies: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """Bytes on each GPU."""
        states = self.weights + self.gradients + self.optimiser
        return states + self.copies + self.activations + self.logits


def training_memory(
    shape: ModelShape,
    config: ConsolidationConfig,
    n_processes: int,
    *,
    tokens: int | None = None,
    gpu: bool = True,
) -> TrainingMemory:
    """Memory that training takes on each of `n_processes` GPUs.

    Args:
        shape: The model.
        config: Strategy, adapter, micro batch, gradient checkpointing.
        n_processes: GPUs, one process each.
        tokens: Length of an example; None means `max_length`, the longest allowed.
        gpu: Whether to train on GPUs, where gradient checkpointing is on by default.
    """
    sharded = n_processes > 1 and config.strategy != "ddp"
    shards = n_processes if sharded else 1
    full = config.lora is None
    n_parameters = shape.n_parameters
    trained = n_parameters if config.lora is None else shape.adapter_parameters(config.lora.rank)
    weights = 4 * n_parameters if full else 2 * n_parameters + 4 * trained
    recompute = gpu if config.gradient_checkpointing is None else config.gradient_checkpointing
    n_sequences = config.micro_batch_size * (2 if config.objective == "dpo" else 1)
    n_tokens = n_sequences * (tokens or config.max_length)
    at_work = n_tokens * (34 * shape.hidden_size + 8 * shape.intermediate_size)
    if not full:
        at_work += n_tokens * (24 * shape.hidden_size + 4 * shape.intermediate_size)
    kept = 4 * n_tokens * shape.hidden_size
    tile = 2 * min(n_tokens, _TILE_TOKENS) * min(shape.vocabulary_size, _TILE_VOCABULARY)
    if sharded:
        gathered = 4 * shape.layer_parameters + 4 * shape.table_parameters
        copies = gathered + full * 6 * shape.layer_parameters
    else:
        copies = 2 * trained + (4 * trained if n_processes > 1 else 0)
    return TrainingMemory(
        weights=weights // shards,
        gradients=4 * trained // shards,
        optimiser=8 * trained // shards,
        copies=copies,
        activations=at_work + kept * shape.n_layers if recompute else at_work * shape.n_layers,
        logits=tile + full * 4 * shape.table_parameters,
    )
