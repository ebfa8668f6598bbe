"""Sequences that share a forward pass, and the key-value cache that they join and leave.

All rows end in the last column of the cache, so that every step appends one column for all of
them. A row shorter than the longest has unused columns on its left, which the mask hides; a row
that joins is padded there, and columns that no row uses any more are cut off:

    . . a b c d e      row 0, five tokens
    f g h i j k l      row 1, the longest
    . . . . . m n      row 2, just joined

Of a transformers model it needs only what `generate` uses: `forward` with a mask, positions and a
`DynamicCache`. The cache is copied once a step, as in `generate`.

Every row is drawn with its own settings and randomness: one uniform number finds the token in the
row's cumulative distribution after temperature, top-k and top-p, in that order as `generate`
applies them. The numbers come from Python's generator and are the same on every device.
Log-probabilities are those of the raw distribution: temperature 1, nothing cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from ucoder.engines.protocol import SamplingParams

_PREFILL_TOKENS = 8192
"""Prompt tokens, padding included, of one forward pass: bounds the memory of activations."""


class GenerationBatch:
    """The rows that are being sampled. Token arrays: (rows,); logits: (rows, vocabulary).

    Args:
        model: A causal language model of transformers, with attention in every layer.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._cache: Any = None
        self._lengths: list[int] = []

    def join(self, prompts: list[list[int]], copies: list[int]) -> Any:
        """Read each prompt (one token or more) once, and add as many rows for it as `copies` says.

        Returns:
            The new rows' next-token logits, in float32, in the order of the prompts.
        """
        import torch

        logits = []
        for part in _parts(prompts):
            repeats = torch.tensor(copies[part], device=self._model.device)
            logits.append(self._read(prompts[part], repeats))
            for prompt, n in zip(prompts[part], copies[part], strict=True):
                self._lengths += [len(prompt)] * n
        return torch.cat(logits)

    def step(self, tokens: list[int]) -> Any:
        """Append one token to every row, and return all next-token logits in float32."""
        import torch

        device = self._model.device
        positions = torch.tensor(self._lengths, device=device)[:, None]
        self._lengths = [length + 1 for length in self._lengths]
        columns = self._cache.get_seq_length() + 1
        # Column c is a row's own where it is one of the row's last `length` columns.
        mask = torch.arange(columns, device=device) >= columns - 1 - positions
        output = self._model(
            input_ids=torch.tensor(tokens, device=device)[:, None],
            attention_mask=mask.long(),
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
        )
        return output.logits[:, -1].float()

    def keep(self, rows: list[int]) -> None:
        """Drop all rows but these (ascending), and the columns that only the others used."""
        import torch

        self._lengths = [self._lengths[row] for row in rows]
        if not rows:
            self._cache = None
            return
        index = torch.tensor(rows, device=self._model.device)
        columns = max(self._lengths)
        for layer in self._cache.layers:
            layer.keys = layer.keys[index, :, -columns:]
            layer.values = layer.values[index, :, -columns:]

    def _read(self, prompts: list[list[int]], repeats: Any) -> Any:
        import torch
        from transformers import DynamicCache

        columns = max(map(len, prompts))
        ids = [[0] * (columns - len(prompt)) + prompt for prompt in prompts]
        mask = [[0] * (columns - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        attention_mask = torch.tensor(mask, device=self._model.device)
        output = self._model(
            input_ids=torch.tensor(ids, device=self._model.device),
            attention_mask=attention_mask,
            position_ids=(attention_mask.cumsum(-1) - 1).clamp(min=0),
            past_key_values=DynamicCache(),
            use_cache=True,
            logits_to_keep=1,
        )
        self._merge(output.past_key_values, repeats)
        return output.logits[:, -1].float().repeat_interleave(repeats, dim=0)

    def _merge(self, newcomers: Any, repeats: Any) -> None:
        """Add the newcomers' rows to the cache, each repeated as `repeats` says."""
        for layer in newcomers.layers:
            layer.keys = layer.keys.repeat_interleave(repeats, dim=0)
            layer.values = layer.values.repeat_interleave(repeats, dim=0)
        if self._cache is None:
            self._cache = newcomers
            return
        for layer, new in zip(self._cache.layers, newcomers.layers, strict=True):
            layer.keys = _stack(layer.keys, new.keys)
            layer.values = _stack(layer.values, new.values)


def _stack(old: Any, new: Any) -> Any:
    """Rows below rows, (rows, heads, columns, size), both padded on the left to the longer."""
    import torch

    columns = max(old.shape[2], new.shape[2])
    shape = (old.shape[0] + new.shape[0], old.shape[1], columns, old.shape[3])
    both = torch.zeros(shape, dtype=old.dtype, device=old.device)
    both[: len(old), :, columns - old.shape[2] :] = old
    both[len(old) :, :, columns - new.shape[2] :] = new
    return both


def _parts(prompts: list[list[int]]) -> Iterator[slice]:
    """Cut the prompts into runs that, padded to their longest, fit one forward pass."""
    start, longest = 0, 0
    for at, prompt in enumerate(prompts):
        longest = max(longest, len(prompt))
        if at > start and (at + 1 - start) * longest > _PREFILL_TOKENS:
            yield slice(start, at)
            start, longest = at, len(prompt)
    yield slice(start, len(prompts))


@dataclass(frozen=True, slots=True)
class Draw:
    """How one row is drawn: the settings, and where its randomness comes from."""

    sampling: SamplingParams
    random: Random

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
    # Sorting a vocabulary is expensive, so only rows that need it are sorted. How a row is drawn
    # never depends on its neighbours, so its token does not either.
    warm = [i for i, one in enumerate(draws) if not one.sampling.is_greedy]
    for narrow in (False, True):
        if rows := [row for row in warm if draws[row].is_narrow is narrow]:
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
