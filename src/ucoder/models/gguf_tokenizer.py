"""Rebuild the tokenizer that a GGUF file describes.

transformers reads a GGUF's weights well, but chooses the tokenizer by the architecture's name: a
Llama-shaped model with a GPT-2 style vocabulary (SmolLM2) gets a tokenizer that garbles every
space, and Qwen's gets `<|endoftext|>` as its end and loses the fill-in-the-middle tokens. The file
itself says what is needed, so the byte-level kind is built from that; other kinds are left to
transformers. Either way the result must give text back unchanged before it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Regular expressions by which the text is cut before merging, named as GGUF names them
# (`tokenizer.ggml.pre`). The digits of SmolLM's are split one by one.
_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CONTROL, _USER_DEFINED = 3, 4
_END_OF_TEXT = "<|endoftext|>"

SAMPLE = 'def f(x: int) -> str:\n    """Naïve: 1234 + x."""\n\treturn f"{x}  "  # don\'t\n'
"""Text that a tokenizer must give back unchanged."""


def build_tokenizer(metadata: Mapping[str, Any]) -> Any | None:
    """Return a transformers tokenizer, or None if the file's kind is not one built here.

    Args:
        metadata: the GGUF's fields, `tokenizer.*` among them, as Python values.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
    from tokenizers import pre_tokenizers as pre
    from transformers import PreTrainedTokenizerFast

    prefix = "tokenizer.ggml."
    if metadata.get(f"{prefix}model") != "gpt2" or metadata.get(f"{prefix}add_bos_token"):
        return None
    byte_level = pre.ByteLevel(add_prefix_space=False, use_regex=False)
    match metadata.get(f"{prefix}pre"):
        case "qwen2":
            cut = pre.Sequence([pre.Split(Regex(_QWEN2), "isolated"), byte_level])
            normalizer = normalizers.NFC()
        case "smollm":
            gpt2 = pre.ByteLevel(add_prefix_space=False, use_regex=True)
            cut = pre.Sequence([pre.Digits(individual_digits=True), gpt2])
            normalizer = None
        case _:
            return None

    tokens: list[str] = metadata[f"{prefix}tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in metadata[f"{prefix}merges"]]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = cut
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    for token, kind in zip(tokens, metadata[f"{prefix}token_type"], strict=True):
        if kind == _CONTROL:
            tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False)])
        elif kind == _USER_DEFINED:
            tokenizer.add_tokens([AddedToken(token, special=False, normalized=False)])

    roles = {"eos": "eos", "pad": "padding", "unk": "unknown", "bos": "bos"}
    if metadata.get(f"{prefix}add_bos_token") is False:
        del roles["bos"]  # the file says that its texts begin with none
    named = {
        f"{role}_token": tokens[metadata[f"{prefix}{key}_token_id"]]
        for role, key in roles.items()
        if f"{prefix}{key}_token_id" in metadata
    }
    make: Any = PreTrainedTokenizerFast
    return make(
        tokenizer_object=tokenizer,
        chat_template=metadata.get("tokenizer.chat_template"),
        clean_up_tokenization_spaces=False,
        **named,
    )


def gives_text_back(tokenizer: Any) -> bool:
    """Whether encoding and decoding leave a piece of code unchanged."""
    numbers = tokenizer(SAMPLE, add_special_tokens=False)["input_ids"]
    return bool(tokenizer.decode(numbers) == SAMPLE)


def end_tokens(tokenizer: Any) -> list[int]:
    """Return every token that ends a completion: the turn's end first, then the text's."""
    vocabulary = tokenizer.get_vocab()
    ends = [tokenizer.eos_token_id, vocabulary.get(_END_OF_TEXT)]
    return list(dict.fromkeys(number for number in ends if number is not None))
