"""Bytes on disk, by table: a shard costs something by itself, and each row of it a little more.

Parquet's schema and statistics stand in every shard, so small shards are mostly these. Measured on
the same runs as `ucoder.planning.assumptions`, with zstd.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ucoder.config import RunConfig
from ucoder.models import load_catalog
from ucoder.planning.expectations import Expectation
from ucoder.planning.ranges import NOTHING, Range, total

ATTEMPT_BYTES: Final = Range(9_000, 16_000, 24_000)
"""A shard of the attempts; seen: 15 to 19 kB."""
SUITE_BYTES: Final = Range(3_300, 4_000, 12_000)
"""A suite of some 100 inputs; seen: 3.6 to 4.2 kB."""
CANDIDATES_SHARD_BYTES: Final = Range(5_000, 7_500, 9_000)
CANDIDATE_BYTES: Final = Range(100, 200, 600)
"""Beside the shard; seen: 9.7 kB with 4 and with 16 candidates, 12.6 kB with 26."""
EXECUTIONS_SHARD_BYTES: Final = Range(3_000, 4_000, 5_000)
CALL_BYTES: Final = Range(0.3, 1.3, 8.0)
"""An outcome; seen: 4.3 to 6.8 kB a shard with 3 to 20 programs on 100 inputs."""
SELECTION_BYTES: Final = Range(4_000, 6_700, 8_000)
EXAMPLE_BYTES: Final = Range(200, 400, 1_500)
ANSWER_BYTES: Final = Range(3_500, 5_500, 12_000)
"""An answer and its score, each in a shard of its task."""

_SIZE = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)([bBmM])(?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class Disk:
    """What a run leaves.

    Attributes:
        tables: Bytes by table.
        checkpoints: Bytes of the trained models; None where the model's size is not known.
        files: How many, checkpoints apart.
    """

    tables: Mapping[str, Range]
    checkpoints: Range | None
    files: Range

    @property
    def total(self) -> Range:
        """Bytes of everything that is known."""
        return total([*self.tables.values(), self.checkpoints or NOTHING])


def disk_of(config: RunConfig, expected: Expectation) -> Disk:
    """Bytes and files of a run."""
    units = {work.stage: work.units for work in expected.stages}
    solved = expected.decided * config.consolidation.iterations
    tables = {
        "attempts": units["problems"] * ATTEMPT_BYTES,
        "suites": units["test_inputs"] * SUITE_BYTES,
    }
    if solutions := expected.stage("solutions"):
        tables["candidates"] = solved * CANDIDATES_SHARD_BYTES + solutions.units * CANDIDATE_BYTES
        tables["executions"] = solved * EXECUTIONS_SHARD_BYTES + solutions.calls * CALL_BYTES
        tables["selections"] = solved * SELECTION_BYTES
        tables["examples"] = units["consolidation"] * EXAMPLE_BYTES
    answers = units.get("evaluation", NOTHING)
    # Samples of one task share a shard.
    shards = answers / config.evaluation.n
    if answers.likely:
        tables["answers and scores"] = shards * ANSWER_BYTES
    files = total([units["problems"], units["test_inputs"], solved * 3, shards * 2])
    return Disk(tables, _checkpoints(config), files)


def _checkpoints(config: RunConfig) -> Range | None:
    training = config.consolidation
    if training.provider != "trl" or not training.iterations:
        return NOTHING
    parameters = parameters_of(config.model)
    if parameters is None:
        return None
    # Weights in 16 bits; OpenVINO keeps its own form, 8 bits a weight, beside them.
    bytes_each = 3.0 if config.engine.provider == "openvino" else 2.0
    return parameters * (bytes_each * training.iterations)


def parameters_of(model: str) -> Range | None:
    """How many parameters a model has: from the catalog, or from its name; None where neither says.

    Names round: a "7B" model has 6.7 to 7.6 thousand million.
    """
    if entry := load_catalog().models.get(model):
        return Range.within(entry.parameters, 1.05)
    sizes = _SIZE.findall(model.rsplit("/", 1)[-1])
    if not sizes:
        return None
    number, unit = sizes[-1]
    millions = float(number) * (1000 if unit in "bB" else 1)
    return Range(0.9, 1.0, 1.3) * (millions * 1e6)
