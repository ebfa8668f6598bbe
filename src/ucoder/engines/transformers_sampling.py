"""Drawing the next token of every row of a batch, each with its own settings and randomness.

A token is found by one uniform number a row, in the cumulative distribution after temperature,
top-k and top-p, in that order as `generate` applies them. The numbers come from Python's generator
and are the same on every device. Log-probabilities are those of the raw distribution: temperature
1, nothing cut off.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from ucoder.engines.protocol import SamplingParams


@dataclass(frozen=True, slots=True)
class Draw:
    """How one row is drawn: the settings, and where its randomness comes from."""

    sampling: SamplingParams
    random: Random

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is taken."""
        return self.sampling.temperature == 0

    @property
    def is_narrow(self) -> bool:
        """Whether part of the distribution is cut off."""
        return self.sampling.top_p < 1 or self.sampling.top_k > 0


def draw(logits: Any, draws: list[Draw]) -> tuple[list[int], list[float]]:
    """Draw one token a row.

    Args:
        logits: (rows, vocabulary), in float32.
        draws: One a row.

    Returns:
        The tokens, and their raw log-probabilities in nats: NaN where the model's logits are.
    """
    import torch

    logprobs = torch.log_softmax(logits, dim=-1)
    tokens = logprobs.argmax(dim=-1)
    # Sorting a vocabulary is dear: only for those who need it. A row's way of being drawn never
    # depends on its neighbours, so that its token does not.
    for narrow in (False, True):
        rows = [i for i, one in enumerate(draws) if not one.is_greedy and one.is_narrow is narrow]
        if rows:
            tokens[rows] = _warm(logprobs[rows], [draws[row] for row in rows], narrow)
    chosen = logprobs.gather(1, tokens[:, None])[:, 0]
    return tokens.tolist(), chosen.tolist()


def _warm(logprobs: Any, draws: list[Draw], narrow: bool) -> Any:
    import torch

    def column(values: list[float], dtype: Any = torch.float32) -> Any:
        return torch.tensor(values, dtype=dtype, device=logprobs.device)[:, None]

    settings = [one.sampling for one in draws]
    probs = torch.softmax(logprobs / column([s.temperature for s in settings]), dim=-1)
    order = None
    if narrow:
        size = probs.shape[-1]
        probs, order = probs.sort(dim=-1, descending=True)
        ranks = torch.arange(size, device=probs.device)
        probs = probs * (ranks < column([s.top_k or size for s in settings]))
        probs = probs / probs.sum(dim=-1, keepdim=True)
        # The smallest set that reaches top-p: every token before which less than that lies.
        likelier = probs.cumsum(dim=-1) - probs
        probs = probs * (likelier < column([s.top_p for s in settings]))
    cumulative = probs.double().cumsum(dim=-1)
    uniform = column([one.random.random() for one in draws], torch.float64)
    found = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)
    found = found.clamp(max=probs.shape[-1] - 1)  # NaN is found nowhere
    return (found if order is None else order.gather(1, found))[:, 0]
