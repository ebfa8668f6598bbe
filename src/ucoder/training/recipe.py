"""The configuration's training settings in the words of TRL, PEFT, accelerate and DeepSpeed."""

from __future__ import annotations

import os
from typing import Any

from ucoder.config import ConsolidationConfig

_MASKED_BY_POSITION = ("sdpa", "eager", "flex_attention")
_ATTENTION_LAYERS = ("full_attention", "sliding_attention", "chunked_attention")


def arguments(config: ConsolidationConfig, job: dict[str, Any], gpu: bool) -> Any:
    """TRL's `SFTConfig`; making it joins the ranks of `torch.distributed`."""
    from trl import SFTConfig

    n_processes = int(os.environ.get("WORLD_SIZE", "1"))
    sharded = n_processes > 1 and config.strategy != "ddp"
    # On a CPU memory is plentiful and recomputing costs a third of the time.
    recompute = gpu if config.gradient_checkpointing is None else config.gradient_checkpointing
    by_fsdp = sharded and config.strategy == "fsdp"
    together = config.micro_batch_size * n_processes
    settings = SFTConfig(
        output_dir=job["trainer_dir"],
        run_name=job["run_name"],
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.micro_batch_size,
        gradient_accumulation_steps=config.batch_size // together,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warmup_ratio,  # below 1, a share of the steps
        optim="adamw_torch",
        completion_only_loss=True,
        max_length=config.max_length,
        packing=config.packing,
        packing_strategy="bfd",
        bf16=True,
        use_cpu=not gpu,
        # FSDP recomputes by itself: the other way would gather the weights twice.
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
    if by_fsdp:
        _keep_gradients_precise(settings)
    if n_processes > 1 and not gpu:
        _mend_ranks_on_a_cpu(settings, by_fsdp)
    return settings


def reporters(config: ConsolidationConfig, metrics_dir: str | None) -> list[str]:
    """Where TRL sends loss and learning rate; TensorBoard only where its files have a place."""
    return [one for one in config.metrics if one != "tensorboard" or metrics_dir is not None]


def fsdp_settings(recompute: bool) -> dict[str, Any]:
    """FSDP2 (`fully_shard`): one unit a transformer layer; weights are read by the first rank."""
    return {
        "version": 2,
        "reshard_after_forward": True,
        "cpu_ram_efficient_loading": True,
        "activation_checkpointing": recompute,
    }


def deepspeed_settings() -> dict[str, Any]:
    """DeepSpeed's configuration: ZeRO stage 3, nothing offloaded; what is `auto` the trainer fills.

    Nobody has trained with it yet. Its bfloat16 keeps float32 master weights of what is trained.
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


def _keep_gradients_precise(settings: Any) -> None:
    """Compute in bfloat16, add gradients up in float32.

    accelerate's own policy adds them up in bfloat16, eight bits for a sum over all ranks.
    """
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy

    settings.fsdp_plugin_args["mixed_precision_policy"] = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16, reduce_dtype=torch.float32
    )


def _mend_ranks_on_a_cpu(settings: Any, by_fsdp: bool) -> None:
    """Let accelerate do on a CPU what PyTorch does there just as well.

    It offers FSDP on accelerators alone, and names the devices of ranks cpu:0, cpu:1, names that a
    checkpoint cannot be loaded to.
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


def check_packing(model: Any) -> None:
    """Refuse to pack where packed examples would attend to each other.

    TRL's best-fit packing keeps examples whole, lays a micro batch out as one row without padding,
    and says by positions that start again at 0 where an example begins. Flash attention takes its
    boundaries from them; for PyTorch's own attention transformers makes a block-diagonal mask of
    them (without a key-value cache, so in training). Attention by any other kernel, and layers that
    are none (state-space, linear attention), are not known to.

    Raises:
        SystemExit: The model's attention is none of these.
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
