"""What is said of a cluster that cannot be used; no Ray is needed where none is reached."""

from __future__ import annotations

import dataclasses
import socket
import subprocess
from pathlib import Path

import pytest

from ucoder.components import Components
from ucoder.config import ScaleConfig, parse_config
from ucoder.errors import ClusterError
from ucoder.scale.replica import Assignment, checked_model, versions_here

from .comparison import command

SCRIPTED = parse_config({"model": "scripted", "engine": "scripted", "scale": "ray"})


def assignment() -> Assignment:
    model = Components(SCRIPTED).model("scripted")
    return Assignment(Components, SCRIPTED, model, None, versions_here())


def test_a_node_like_the_driver_has_the_model() -> None:
    asked = assignment()
    assert checked_model(asked) == asked.model


def test_a_node_with_other_versions_says_which() -> None:
    other = dataclasses.replace(assignment(), versions={**versions_here(), "ucoder": "0.0.1"})
    with pytest.raises(ClusterError, match=r"ucoder \S+ instead of 0\.0\.1"):
        checked_model(other)


def test_a_node_with_another_model_says_so() -> None:
    asked = assignment()
    model = dataclasses.replace(asked.model, sha256="f" * 64)
    with pytest.raises(ClusterError, match="another model here"):
        checked_model(dataclasses.replace(asked, model=model))


def test_a_checkpoint_that_a_node_cannot_see_names_the_remedy(tmp_path: Path) -> None:
    config = parse_config({"scale": "ray"})
    model = dataclasses.replace(assignment().model, name=str(tmp_path / "iteration-0"))
    asked = Assignment(Components, config, model, None, versions_here())
    with pytest.raises(ClusterError, match="a file system that every node sees"):
        checked_model(asked)


def test_an_address_without_a_cluster_is_a_clear_error(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ClusterError, match=f"{address}: no Ray cluster can be joined"):
        from ucoder.scale.ray import connect

        connect(ScaleConfig(address=address))


def test_a_replica_that_fits_nowhere_ends_the_run_with_what_to_change(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    where = ["scale=ray", "scale.address=local", "scale.cpus_per_replica=1000"]
    done = subprocess.run(
        command("run", "scripted", *where, "-o", str(tmp_path / "run")),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "no node of the cluster has room for a replica of 1000 CPUs" in said
    assert "lower scale.cpus_per_replica" in said
