"""A real Ray cluster of four nodes on this machine, and a run that is worth disturbing."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

N_PROBLEMS = 24


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Four nodes with a CPU each; the first holds the cluster's head."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    made = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    for _ in range(3):
        made.add_node(**node)
    made.wait_for_nodes()
    yield made
    made.shutdown()


@pytest.fixture(scope="session")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration file: 24 problems, two iterations, an engine that takes its time."""
    folder = tmp_path_factory.mktemp("configuration")
    script = folder / "script.yaml"
    script.write_text(yaml.safe_dump({"delay_s": 0.05, "rules": list(_rules())}))
    config = folder / "config.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "model": "scripted",
                "engine": {"provider": "scripted", "script": str(script)},
                "problems": {
                    "n": N_PROBLEMS,
                    "max_attempts": 400,
                    "topics": "listed",
                    "max_similarity": 1.0,
                },
                "test_inputs": {"n": 12, "n_completions": 1},
                "solutions": {"n": 24, "distinguishing_inputs": 8},
                "consolidation": {"provider": "scripted", "iterations": 2, "micro_batch_size": 4},
                "evaluation": {"benchmarks": ["humaneval"], "n_tasks": 4},
                "executor": {"n_workers": 1},
                "max_concurrency": 3,
            }
        )
    )
    return config


def _rules() -> Iterator[dict[str, Any]]:
    """What a model says that invents problems about adding numbers."""
    yield {
        "when": ["Invent one new"],
        "answers": [
            f" Add {i}\nDescription: Return the sum of the given integer and the number {i}, "
            f"whatever the sign of the integer may be.\n"
            f"Function Signature: def add_{i}(x: int) -> int:\n"
            for i in range(2 * N_PROBLEMS)
        ],
    }
    yield {"when": ["Rate the quality"], "answers": [" 8\nSummary: Clear.\n"]}
    for i in range(2 * N_PROBLEMS):
        name = f"add_{i}("
        yield {"when": ["Write the interface", name], "answers": [f"Add {i} to x.\n"]}
        yield {
            "when": ["test cases", name],
            "answers": [f"{a}) == {a + i}\nassert add_{i}({a + 5}) == 0\nassert add_{i}(-{a}) == 1"
                        for a in range(4)],
        }  # fmt: skip
        yield {
            "when": [name],
            "answers": [
                f"def add_{i}(x):\n    return x + {i}\n",
                f"def add_{i}(x):\n    y = {i}\n    return y + x\n",
                f"def add_{i}(x):\n    return x - {i}\n",
                f"def add_{i}(x):\n    return abs(x) + {i}\n",
                f"def add_{i}(x):\n    return 1 // 0\n",
            ],
        }
