"""Where a run's work is done: on this machine, or on a cluster."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ucoder.config.section import Positive, Section


class ScaleConfig(Section):
    """Where engines and executors run. `scale: ray` is short for `scale: {provider: ray}`."""

    provider: Literal["local", "ray"] = "local"
    """`local`: one engine in this process's company. `ray`: one replica of the engine and the
    executor after another, as many as the cluster holds."""
    address: str = "auto"
    """For ray: `auto` (a cluster that was started on this machine), `host:port`, or `local` (start
    one here and end it with the run)."""
    n_replicas: Positive | None = None
    """For ray: at most so many replicas; null: as many as there is room for, also on nodes that
    join later."""
    gpus_per_replica: Annotated[float, Field(ge=0.0, le=64.0)] = 0.0
    """For ray: GPUs that one replica is given; a part of one is allowed."""
    cpus_per_replica: Annotated[float, Field(gt=0.0, le=1024.0)] = 1.0
    """For ray: CPUs that one replica is given, for its engine and its executor's workers."""
    training_gpus: Annotated[int, Field(ge=0, le=64)] = 0
    """For ray: GPUs of one node that training is given."""
    training_cpus: Annotated[float, Field(gt=0.0, le=1024.0)] = 1.0
    """For ray: CPUs of that node."""
