"""What the tests of several engines share: a teacher that knows the log-probabilities."""

from __future__ import annotations

import pytest

from ucoder.engines.conformance import Scorer
from ucoder.engines.protocol import Prompt, render
from ucoder.models import Model


@pytest.fixture(scope="module")
def teacher(small_model: Model) -> Scorer:
    """A teacher-forced pass in float32 over the small model's checkpoint."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(small_model.path)
    model = AutoModelForCausalLM.from_pretrained(small_model.path, dtype=torch.float32).eval()

    def score(prompt: Prompt, text: str) -> tuple[int, float]:
        start = tokenizer(render(tokenizer, prompt, is_chat=True), add_special_tokens=False)[
            "input_ids"
        ]
        tail = tokenizer(text, add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            logits = model(torch.tensor([start + tail])).logits[0]
        logprobs = torch.log_softmax(logits[len(start) - 1 : -1].float(), dim=-1)
        return len(tail), float(logprobs.gather(1, torch.tensor(tail)[:, None]).sum())

    return score
