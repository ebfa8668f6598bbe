"""Convert weights from one form to another, in this process.

    python -m ucoder.models.convert gguf FILE.gguf FOLDER
    python -m ucoder.models.convert openvino CHECKPOINT FOLDER [--weight-format int8]

Always run as a process of its own (`artifacts.py` does): it takes gigabytes of memory, which are
given back when it ends, and a crash in a native library ends nothing else. It writes where it is
told; making that atomic is the caller's part.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ucoder.models.gguf_tokenizer import build_tokenizer, end_tokens, gives_text_back
from ucoder.runtime import die_with_parent


def gguf_to_checkpoint(source: Path, target: Path) -> None:
    """Dequantise a GGUF file into a bf16 safetensors checkpoint with its tokenizer.

    The generation config keeps only which tokens end a text: sampling settings are each request's.

    Raises:
        ValueError: the file's architecture or tokenizer is not one that can be rebuilt.
    """
    reader = _fast_reader(source)

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    fields = reader.fields.items()
    metadata = {name: f.contents() for name, f in fields if name.startswith("tokenizer.")}
    tokenizer = build_tokenizer(metadata) or AutoTokenizer.from_pretrained(
        source.parent, gguf_file=source.name
    )
    if not gives_text_back(tokenizer):
        raise ValueError(
            f"the tokenizer of {source.name} cannot be rebuilt "
            f"(kind {metadata.get('tokenizer.ggml.model')}, {metadata.get('tokenizer.ggml.pre')}); "
            "use the model's original repository instead of a GGUF file"
        )
    model = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.bfloat16
    )
    make_config: Any = GenerationConfig
    model.generation_config = make_config(
        eos_token_id=end_tokens(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    model.config.eos_token_id = tokenizer.eos_token_id
    tokenizer.model_max_length = model.config.max_position_embeddings
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def checkpoint_to_openvino(source: Path, target: Path, weight_format: str) -> None:
    """Export a checkpoint to OpenVINO, with tokenizer and detokenizer models beside it.

    `openvino_genai` loads the result as it is; nothing of torch is needed to run it.
    """
    import openvino
    from openvino_tokenizers import convert_tokenizer
    from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig
    from transformers import AutoTokenizer

    how: dict[str, Any] = (
        {"quantization_config": OVWeightQuantizationConfig(bits=8)}
        if weight_format == "int8"
        else {"load_in_8bit": False}
    )
    model = OVModelForCausalLM.from_pretrained(str(source), export=True, compile=False, **how)
    model.save_pretrained(target)
    tokenizer = AutoTokenizer.from_pretrained(str(source))
    tokenizer.save_pretrained(target)
    encoder, decoder = convert_tokenizer(tokenizer, with_detokenizer=True)
    openvino.save_model(encoder, target / "openvino_tokenizer.xml")
    openvino.save_model(decoder, target / "openvino_detokenizer.xml")


def _fast_reader(source: Path) -> Any:
    """Open a GGUF so that reading it again costs nothing.

    transformers opens the file anew for the configuration and the weights, and `gguf` walks the
    150,000 tokens through slices of a memory map, which numpy makes slow: most of the conversion's
    time. Here the file is opened once, through a plain view of the map, and handed out again.
    """
    import gguf
    import numpy

    numpy_module: Any = numpy
    memory_map = numpy.memmap
    numpy_module.memmap = lambda *args, **kwargs: memory_map(*args, **kwargs).view(numpy.ndarray)
    try:
        reader = gguf.GGUFReader(source)
    finally:
        numpy_module.memmap = memory_map
    gguf_module: Any = gguf  # stays replaced: this process converts one file and ends
    gguf_module.GGUFReader = lambda path, *args, **kwargs: reader
    return reader


def main() -> None:
    """Run one conversion, as the module's docstring shows."""
    parser = argparse.ArgumentParser(prog="python -m ucoder.models.convert")
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind in ("gguf", "openvino"):
        one = kinds.add_parser(kind)
        one.add_argument("source", type=Path)
        one.add_argument("target", type=Path)
        if kind == "openvino":
            one.add_argument("--weight-format", choices=["int8", "fp16"], default="int8")
    chosen = parser.parse_args()
    die_with_parent()
    if chosen.kind == "gguf":
        gguf_to_checkpoint(chosen.source, chosen.target)
    else:
        checkpoint_to_openvino(chosen.source, chosen.target, chosen.weight_format)


if __name__ == "__main__":
    main()
