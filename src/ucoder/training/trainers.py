"""TRL's trainers as they are used here: rows that are tokens already, in a fixed order.

    sft   SFTTrainer, with a weight for every token of the loss
    dpo   DPOTrainer: chosen against rejected completions, and a term that learns the chosen ones

With weights w over the tokens of an optimiser step, SFT minimises sum(w * nll) / sum(w); equal
weights give the plain mean. With pi the trained model and ref the one before it, DPO minimises

    -log sigmoid(beta * (log pi/ref of chosen - log pi/ref of rejected)) + sft_weight * nll(chosen)

where the first term's log-probabilities are sums over a completion's tokens and its end, and the
second is their mean (Rafailov et al. 2023, arXiv 2305.18290; the second term as in Pang et al.
2024, arXiv 2404.19733). The reference of an adapter is the model without it. In full training it
is computed once, before the first step; several processes keep a second copy of the model instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal


class EpochOrder:
    """A sampler: a permutation of the rows, drawn from seed and epoch, then the padding rows.

    accelerate gives each process every n-th micro batch, and where the last ones are incomplete it
    repeats examples from the start of the epoch: with few examples and many GPUs, many of them
    twice. Here an epoch ends with padding rows without loss instead, so that every optimiser step
    has the same examples, each once an epoch, and the same loss, on any number of processes.

    Attributes:
        epoch: Counted from 0; to be set before each epoch.
    """

    def __init__(self, n_rows: int, n_padding: int, seed: int) -> None:
        self.n_rows, self.n_padding, self.seed = n_rows, n_padding, seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.n_rows + self.n_padding

    def __iter__(self) -> Iterator[int]:
        import torch

        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        yield from torch.randperm(self.n_rows, generator=generator).tolist()
        yield from range(self.n_rows, len(self))


def balanced_trainer(objective: Literal["sft", "dpo"], **parts: Any) -> Any:
    """TRL's trainer for an objective, in the order of `EpochOrder`.

    A preference pair without loss does not exist, so DPO on several processes leaves incomplete
    batches to accelerate, which repeats pairs.

    Args:
        objective: What to minimise.
        parts: The arguments of TRL's trainer. The rows of `train_dataset` are those of
            `ucoder.training.rendering.training_rows`.
    """
    from transformers import TrainerCallback, set_seed

    class SetEpoch(TrainerCallback):  # type: ignore[misc]
        """Sets the epoch of `order`, which accelerate does not do for an epoch that it resumes."""

        def on_epoch_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            order.epoch = int(state.epoch + 1e-6)

    settings = parts["args"]
    set_seed(settings.seed)  # the adapter's start is drawn while the trainer is made
    trainer = (_preference_trainer if objective == "dpo" else _weighted_trainer)(**parts)
    n_rows = len(trainer.train_dataset)
    together = settings.per_device_train_batch_size * settings.world_size
    is_padded = objective == "sft" and settings.world_size > 1
    n_padding = -n_rows % together if is_padded else 0
    order = trainer.epoch_order = EpochOrder(n_rows, n_padding, settings.seed)
    trainer.train_dataset = _padded(trainer.train_dataset, n_padding)
    trainer.add_callback(SetEpoch())
    return trainer


def _weighted_trainer(**parts: Any) -> Any:
    """TRL's `SFTTrainer` with the rows' `token_weights`."""
    from trl import SFTTrainer, pack_dataset

    class WeightedTrainer(SFTTrainer):  # type: ignore[misc]
        def _prepare_dataset(
            self, dataset: Any, processing_class: Any, args: Any, packing: bool, *rest: Any
        ) -> Any:
            """TRL's own preparation drops the weights when it packs."""
            return pack_dataset(dataset, args.max_length, "bfd") if packing else dataset

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return self.epoch_order

        def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> Any:
            """What an optimiser step's sum of losses is divided by: its tokens' weights."""
            if not batch_samples:
                return None
            total = sum(
                batch["token_weights"][batch["labels"] != -100].sum() for batch in batch_samples
            ).to(device)
            return self.accelerator.gather(total).sum() if self.args.world_size > 1 else total

        def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **rest: Any) -> Any:
            """TRL's loss of log-probabilities that are multiplied by their tokens' weights."""
            weights = inputs.pop("token_weights")[:, 1:]

            def weighted(**values: Any) -> Any:
                outputs = model(**values)
                outputs.log_probs = outputs.log_probs * weights
                return outputs

            return super().compute_loss(weighted, inputs, *args, **rest)

    trainer = WeightedTrainer(**parts)
    trainer.data_collator = _with_weights(trainer.data_collator)
    return trainer


def _with_weights(collate: Any) -> Any:
    """A collator that adds the weights of the tokens to a batch, in the shape of its labels."""
    import torch

    def collate_with_weights(rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = collate(rows)
        weights = [torch.tensor(row["token_weights"], dtype=torch.float32) for row in rows]
        if collate.padding_free:
            weights = [torch.cat(weights)]
        padded = torch.nn.utils.rnn.pad_sequence(weights, batch_first=True)
        return {**batch, "token_weights": padded}

    return collate_with_weights


def _preference_trainer(**parts: Any) -> Any:
    """TRL's `DPOTrainer` on rows that are tokens already."""
    from trl import DPOTrainer

    class PreferenceTrainer(DPOTrainer):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, *rest: Any) -> Any:
            """TRL's own preparation would render and tokenise text."""
            return dataset

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return self.epoch_order

    return PreferenceTrainer(**parts)


def _padded(dataset: Any, n_padding: int) -> Any:
    """The tokenised rows and `n_padding` rows without loss, each of two tokens of the first row."""
    if not n_padding:
        return dataset
    from datasets import Dataset, concatenate_datasets

    tokens = dataset[0]["input_ids"][:2]
    row = {"input_ids": tokens, "labels": [-100, -100], "token_weights": [0.0, 0.0]}
    if "seq_lengths" in dataset.column_names:  # packed
        row["seq_lengths"] = [2]
    rows = dataset.select_columns(list(row))
    return concatenate_datasets([rows, Dataset.from_list([row] * n_padding, rows.features)])
