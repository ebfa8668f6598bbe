"""The training configuration in terms of TRL, PEFT, accelerate and DeepSpeed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ucoder.config import ConsolidationConfig
from ucoder.errors import TrainingError

_QUANTISED = (
    "the model's weights are quantised ({}), and training needs plain ones; give the original "
    "checkpoint, or set consolidation.provider to none (and iterations to 1)"
)
_MASKED_BY_POSITION = ("sdpa", "eager", "flex_attention")
_ATTENTION_LAYERS = ("full_attention", "sliding_attention", "chunked_attention")


def arguments(config: ConsolidationConfig, job: dict[str, Any], gpu: bool) -> Any:
    """TRL's `SFTConfig` or `DPOConfig`; creating it joins the ranks of `torch.distributed`."""
    from trl import DPOConfig, SFTConfig

    n_processes = int(os.environ.get("WORLD_SIZE", "1"))
    sharded = n_processes > 1 and config.strategy != "ddp"
    # A CPU has plenty of memory, and recomputing costs a third of the time.
    recompute = gpu if config.gradient_checkpointing is None else config.gradient_checkpointing
    by_fsdp = sharded and config.strategy == "fsdp"
    together = config.micro_batch_size * n_processes
    is_dpo = config.objective == "dpo"
    settings = (DPOConfig if is_dpo else SFTConfig)(
        **(_dpo_settings(config, n_processes) if is_dpo else _sft_settings(config)),
        output_dir=job["trainer_dir"],
        run_name=job["run_name"],
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.micro_batch_size,
        gradient_accumulation_steps=config.batch_size // together,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warmup_ratio,  # below 1, a share of the steps
        optim="adamw_torch",
        max_length=config.max_length,
        remove_unused_columns=False,  # the rows have none, and the weights are one
        bf16=gpu or processor_has_bfloat16(),
        use_cpu=not gpu,
        # FSDP has its own recomputation; this one would gather the weights twice.
        gradient_checkpointing=recompute and not by_fsdp,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        fsdp="full_shard auto_wrap" if by_fsdp else "",
        fsdp_config=fsdp_settings(recompute) if by_fsdp else None,
        deepspeed=deepspeed_settings() if sharded and not by_fsdp else None,
        seed=job["seed"],
        data_seed=job["seed"],
        save_strategy="steps" if config.checkpoint_steps else "epoch",
        save_steps=config.checkpoint_steps or 500,
        logging_steps=1,
        disable_tqdm=True,
        report_to=reporters(config, job["metrics_dir"]),
        dataloader_pin_memory=gpu,
    )
    if by_fsdp and settings.bf16:
        _reduce_in_float32(settings)
    if n_processes > 1 and not gpu:
        _enable_ranks_on_cpu(settings, by_fsdp)
    return settings


def _sft_settings(config: ConsolidationConfig) -> dict[str, Any]:
    return {"packing": config.packing, "packing_strategy": "bfd"}


def _dpo_settings(config: ConsolidationConfig, n_processes: int) -> dict[str, Any]:
    """Settings of `DPOConfig` alone.

    The reference is computed once, unless a LoRA adapter can be switched off, or several processes
    would have to share the results, which TRL writes into a file of each.
    """
    weights = {"sigmoid": 1.0, "sft": config.dpo.sft_weight}
    used = {name: weight for name, weight in weights.items() if weight}
    return {
        "beta": config.dpo.beta,
        "loss_type": list(used),
        "loss_weights": list(used.values()),
        "precompute_ref_log_probs": config.lora is None and n_processes == 1,
    }


def processor_has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices by instructions of its own.

    One that has AVX2 alone emulates them, about eighty times slower than float32: it trains in
    float32, which takes twice the memory.
    """
    import torch

    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def reporters(config: ConsolidationConfig, metrics_dir: str | None) -> list[str]:
    """Where TRL sends loss and learning rate; TensorBoard only with a folder for its files."""
    return [one for one in config.metrics if one != "tensorboard" or metrics_dir is not None]


def fsdp_settings(recompute: bool) -> dict[str, Any]:
    """FSDP2 (`fully_shard`): one unit a transformer layer; the first rank reads the weights."""
    return {
        "version": 2,
        "reshard_after_forward": True,
        "cpu_ram_efficient_loading": True,
        "activation_checkpointing": recompute,
    }


def deepspeed_settings() -> dict[str, Any]:
    """DeepSpeed's configuration: ZeRO stage 3 without offloading; the trainer fills in `auto`.

    Untested: no training has used it yet. Its bfloat16 mode keeps float32 master weights.
    """
    return {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": True},
        "zero_optimization": {
            "stage": 3,
            "overlap_comm": True,
            "contiguous_gradients": True,
            "reduce_bucket_size": "auto",
            "stage3_prefetch_bucket_size": "auto",
            "stage3_param_persistence_threshold": "auto",
            "stage3_gather_16bit_weights_on_model_save": True,
        },
    }


def _reduce_in_float32(settings: Any) -> None:
    """Compute in bfloat16, but sum gradients in float32.

    accelerate's own policy sums over all ranks in bfloat16, with eight bits of precision.
    """
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy

    settings.fsdp_plugin_args["mixed_precision_policy"] = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16, reduce_dtype=torch.float32
    )


def _enable_ranks_on_cpu(settings: Any, by_fsdp: bool) -> None:
    """Let accelerate train several ranks on a CPU, which PyTorch supports.

    accelerate offers FSDP only on accelerators, and calls the devices of ranks cpu:0 and cpu:1, to
    which no checkpoint can be loaded.
    """
    import torch
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    state = PartialState()
    state.device = settings._setup_devices = torch.device("cpu")
    if by_fsdp:
        state.distributed_type = DistributedType.MULTI_GPU


def adapter(config: ConsolidationConfig) -> Any:
    """PEFT's `LoraConfig`, or None for full fine-tuning."""
    if config.lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def check_weights(model: Any) -> None:
    """Refuse weights that cannot be trained or saved: those that are stored quantised.

    Raises:
        SystemExit: They are.
    """
    if (quantiser := getattr(model, "hf_quantizer", None)) is not None:
        method = quantiser.quantization_config.quant_method
        raise SystemExit(_QUANTISED.format(getattr(method, "value", method)))


def check_checkpoint(folder: Path) -> None:
    """The same as `check_weights`, by the checkpoint's config.json: before anything is sampled.

    Raises:
        TrainingError: Its weights are quantised.
    """
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):  # loading it says more
        return
    if isinstance(config, dict) and (how := config.get("quantization_config")):
        method = how.get("quant_method", "unknown") if isinstance(how, dict) else how
        raise TrainingError(f"{folder}: {_QUANTISED.format(method)}")


def check_packing(model: Any) -> None:
    """Refuse to pack where packed examples would attend to each other.

    TRL's best-fit packing keeps examples whole, puts a micro batch into one row without padding,
    and restarts positions at 0 where an example begins. Flash attention takes its boundaries from
    the positions; for PyTorch's own attention, transformers builds a block-diagonal mask from them
    (without a key-value cache, as in training). Whether other kernels and other layers (state
    space, linear attention) respect them is unknown.

    Raises:
        SystemExit: The model uses other attention or other layers.
    """
    config = model.config.get_text_config()
    kernel = config._attn_implementation
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    by_position = kernel in _MASKED_BY_POSITION or kernel.startswith("flash_attention")
    if not by_position or not layers <= set(_ATTENTION_LAYERS):
        raise SystemExit(
            f"packing needs attention that keeps packed examples apart; {config.model_type} here "
            f"has {', '.join(sorted(layers))} by {kernel}; set consolidation.packing to false"
        )
