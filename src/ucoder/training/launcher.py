"""Starts the training processes: `python -m ucoder.training.launcher JOB.json`.

A single process trains in this one; several are ranks of `torch.distributed`, started and monitored
by PyTorch's elastic agent, as by torchrun. When one rank dies, the agent ends the others, and this
program prints which one failed first, and its exit reason. No process outlives the pipeline: the
kernel kills this program with its parent, and the ranks with this program.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ucoder.config import ConsolidationConfig
from ucoder.runtime import die_with_parent
from ucoder.training.worker import error_file, log_file, run_rank, send

_SIGNAL_OF_AGENT = signal.SIGTERM


def main(job_path: Path) -> None:
    """Train a job with as many processes as its configuration asks for."""
    die_with_parent()
    job = json.loads(job_path.read_text("utf-8"))
    config = ConsolidationConfig.model_validate(job["config"])
    import torch

    n_gpus = int(torch.cuda.device_count())
    n_processes = count_processes(config, n_gpus)
    accumulation_steps(config, n_processes)
    if n_processes == 1:
        if n_gpus > 1:  # transformers would use all visible ones, by DataParallel
            visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
            os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[0]
        run_rank(job)
        return
    # By default, each rank would start one thread a core.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // n_processes)))
    _run_ranks(job_path, Path(job["log_dir"]), n_processes)


def count_processes(config: ConsolidationConfig, n_gpus: int) -> int:
    """The number of processes that train together.

    Raises:
        SystemExit: There are too few GPUs, or the strategy needs GPUs and there are none.
    """
    if config.n_processes is None:
        return max(1, n_gpus)
    if n_gpus == 0 and config.n_processes > 1 and config.strategy == "deepspeed":
        raise SystemExit(
            "strategy=deepspeed trains on GPUs and none is visible; on a CPU use ddp or fsdp"
        )
    if 0 < n_gpus < config.n_processes:
        raise SystemExit(
            f"n_processes={config.n_processes} but {n_gpus} GPUs are visible, and each process "
            f"needs one; set n_processes to {n_gpus} or less, or to null"
        )
    return config.n_processes


def accumulation_steps(config: ConsolidationConfig, n_processes: int) -> int:
    """Forward passes of each process in one optimiser step, so that it has `batch_size` examples.

    Raises:
        SystemExit: This is not a whole number.
    """
    together = config.micro_batch_size * n_processes
    if config.batch_size % together:
        raise SystemExit(
            f"batch_size={config.batch_size} is not a multiple of "
            f"micro_batch_size={config.micro_batch_size} x {n_processes} processes = {together}; "
            f"change one of them, or n_processes"
        )
    return config.batch_size // together


def _run_ranks(job_path: Path, log_dir: Path, n_processes: int) -> None:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for old in log_dir.glob("rank-*.error"):  # from an earlier attempt
        old.unlink()
    launch = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=n_processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.2,
    )
    try:
        elastic_launch(launch, sys.executable)("-m", "ucoder.training.worker", str(job_path))
    except ChildFailedError as error:
        send(failure=_first_failure(error.failures, log_dir, n_processes))
        raise SystemExit(1) from None


def _first_failure(failures: dict[int, Any], log_dir: Path, n_processes: int) -> str:
    """The failure to report: mostly one rank failed, and the others lost the connection to it.

    This is a rank killed by a signal other than the agent's, as it could not write its error; if
    there is none, the rank that wrote its error first.
    """

    def order(failure: Any) -> tuple[int, float]:
        killed = failure.exitcode < 0 and -failure.exitcode != _SIGNAL_OF_AGENT
        return (0, 0.0) if killed else (1, _error_of(log_dir, failure.local_rank)[0])

    first = min(failures.values(), key=order)
    rank, log = first.local_rank, log_file(log_dir, first.local_rank)
    _, reason = _error_of(log_dir, rank)
    if reason:
        how = "failed"
    elif first.exitcode < 0:
        how, reason = f"was killed by signal {-first.exitcode}", _tail(log)
        if -first.exitcode == signal.SIGKILL:
            how += "; it may have run out of memory: lower micro_batch_size"
    else:
        how, reason = f"ended with {first.exitcode}", _tail(log)
    return f"rank {rank} of {n_processes} {how}. {reason} (log: {log})"


def _error_of(log_dir: Path, rank: int) -> tuple[float, str]:
    """When a rank failed, and why; (infinity, "") where it wrote no error."""
    try:
        error = json.loads(error_file(log_dir, rank).read_text("utf-8"))
    except (FileNotFoundError, ValueError):  # killed before or while it wrote
        return float("inf"), ""
    return float(error["time_s"]), str(error["error"])


def _tail(log: Path) -> str:
    if not log.exists():
        return ""
    return " | ".join(log.read_text("utf-8", "replace").strip().splitlines()[-3:])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
