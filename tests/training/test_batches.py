"""Which examples form a batch."""

from __future__ import annotations

import pytest

from ucoder.config import ConsolidationConfig
from ucoder.training.launcher import accumulation_steps, count_processes
from ucoder.training.trainers import EpochOrder


def _settings(**settings: object) -> ConsolidationConfig:
    return ConsolidationConfig.model_validate(settings)


def test_every_epoch_is_a_new_permutation_of_all_examples_with_padding_last() -> None:
    order = EpochOrder(n_rows=50, n_padding=6, seed=3)
    first = list(order)
    order.epoch = 1
    second = list(order)
    for epoch in (first, second):
        assert sorted(epoch[:50]) == list(range(50))
        assert epoch[50:] == list(range(50, 56))
    assert first != second
    order.epoch = 0
    assert list(order) == first


@pytest.mark.parametrize("n_processes", [1, 2, 4, 8, 32])
def test_an_optimiser_step_has_batch_size_examples_on_any_number_of_processes(
    n_processes: int,
) -> None:
    settings = _settings(batch_size=128, micro_batch_size=4, n_processes=n_processes)
    steps = accumulation_steps(settings, count_processes(settings, n_gpus=0))
    assert 4 * n_processes * steps == 128


def test_a_batch_size_that_processes_cannot_share_is_refused() -> None:
    settings = _settings(batch_size=128, micro_batch_size=4)
    with pytest.raises(SystemExit, match=r"batch_size=128 .*micro_batch_size=4 x 3 .*= 12"):
        accumulation_steps(settings, count_processes(settings, n_gpus=3))


def test_there_is_one_process_a_gpu_and_one_without_gpus() -> None:
    assert count_processes(_settings(), n_gpus=0) == 1
    assert count_processes(_settings(), n_gpus=4) == 4
    with pytest.raises(SystemExit, match="n_processes=4 but 2 GPUs are visible"):
        count_processes(_settings(n_processes=4), n_gpus=2)
