"""The same batches whatever the number of processes.

accelerate gives each process every n-th micro batch, and where the last ones do not come out even
it repeats examples from the start of the epoch: with few examples and many GPUs many of them twice.
Here the epoch ends with rows that carry no loss instead, so that every optimiser step has the same
examples, each of them once an epoch, and the same loss, on one process and on many.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class EpochOrder:
    """A sampler: a permutation of the rows drawn from seed and epoch, then the padding rows.

    Attributes:
        epoch: Counted from 0, set before each.
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


def balanced_trainer(**parts: Any) -> Any:
    """TRL's `SFTTrainer`, with `EpochOrder`; takes its arguments."""
    from transformers import TrainerCallback
    from trl import SFTTrainer

    class Trainer(SFTTrainer):  # type: ignore[misc]
        """Draws its examples as `order` says."""

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return order

    class SetEpoch(TrainerCallback):  # type: ignore[misc]
        """Tells `order` the epoch: accelerate does not where an epoch is gone on with."""

        def on_epoch_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            order.epoch = int(state.epoch + 1e-6)

    trainer = Trainer(**parts)
    n_rows = len(trainer.train_dataset)
    together = trainer.args.per_device_train_batch_size * trainer.args.world_size
    n_padding = -n_rows % together if trainer.args.world_size > 1 else 0
    order = EpochOrder(n_rows, n_padding, trainer.args.seed)
    trainer.train_dataset = _padded(trainer.train_dataset, n_padding)
    trainer.add_callback(SetEpoch())
    return trainer


def _padded(dataset: Any, n_padding: int) -> Any:
    """The tokenised rows and `n_padding` of the first one's two first tokens, without loss."""
    if not n_padding:
        return dataset
    from datasets import Dataset, concatenate_datasets

    row = {"input_ids": dataset[0]["input_ids"][:2], "labels": [-100, -100]}
    if "seq_lengths" in dataset.column_names:  # packed
        row["seq_lengths"] = [2]
    rows = dataset.select_columns(list(row))
    return concatenate_datasets([rows, Dataset.from_list([row] * n_padding, rows.features)])
