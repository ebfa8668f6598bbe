"""A run on a Ray cluster is the run on one machine, whatever is lost on the way."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .comparison import command, shards, tables

N_LOSSES = int(os.environ.get("UCODER_TEST_LOSSES", "12"))


@pytest.fixture(scope="module")
def undisturbed(configuration: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run on this machine alone."""
    path = tmp_path_factory.mktemp("local") / "run"
    subprocess.run(
        command("run", str(configuration), "-o", str(path)), check=True, capture_output=True
    )
    return path


class Driver:
    """`ucoder run` or `ucoder resume` on the cluster."""

    def __init__(self, configuration: Path, path: Path, address: str) -> None:
        if (path / "manifest.json").exists():
            arguments = ["resume", str(path)]
        else:
            where = ["scale=ray", f"scale.address={address}"]
            arguments = ["run", str(configuration), *where, "-o", str(path)]
        self.log = path.with_name("driver.log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command(*arguments), stdout=log, stderr=log, start_new_session=True
            )

    @property
    def is_done(self) -> bool:
        return self.process.poll() is not None

    def end(self) -> int:
        status = self.process.wait(timeout=900)
        assert status == 0, self.log.read_text("utf-8", "replace")[-4000:]
        return status


def test_the_same_records_as_on_one_machine(
    cluster: Any, configuration: Path, undisturbed: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    Driver(configuration, path, cluster.address).end()
    assert tables(path) == tables(undisturbed)


def test_lost_actors_nodes_and_drivers_change_no_record(
    cluster: Any, configuration: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """Losses are tied to the run's progress, not to a clock, so each happens at any speed."""
    path, random_ = tmp_path / "run", random.Random(int(os.environ.get("UCODER_TEST_SEED", "5")))
    driver = Driver(configuration, path, cluster.address)
    kinds = ["actor", "actor", "node", "driver"]
    lost: list[str] = []
    finished: dict[Path, int] = {}
    # The last loss falls due when 60% of the records are there: much is left to be disturbed.
    per_loss = len(shards(undisturbed)) * 0.6 / N_LOSSES
    while not driver.is_done and len(lost) < N_LOSSES:
        time.sleep(random_.uniform(0.0, 0.05))
        if len(shards(path)) < per_loss * (len(lost) + 1):
            continue
        now = {shard: at for shard, at in shards(path).items() if "selections" in shard.parts}
        # What was finished is not done again: its files are the very same.
        assert {shard: now[shard] for shard in finished} == finished
        finished = now
        kind = kinds[len(lost) % len(kinds)]
        if kind == "actor":
            if not (actors := list(replicas())):
                continue
            os.kill(random_.choice(actors), signal.SIGKILL)
        elif kind == "node":
            others = [node for node in cluster.list_all_nodes() if not node.head]
            cluster.remove_node(random_.choice(others), allow_graceful=False)
            cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
        else:
            driver.process.kill()
            driver.process.wait()
            driver = Driver(configuration, path, cluster.address)
        lost.append(kind)
    driver.end()
    n_replicas = driver.log.read_text("utf-8", "replace").count("is ready")
    print(f"lost: {Counter(lost)}; replicas started: {n_replicas}")
    assert set(lost) == set(kinds), "the run ended before one of each kind was lost"
    assert tables(path) == tables(undisturbed)


def replicas() -> Iterator[int]:
    """Process ids of the replicas on nodes that this test started."""
    for entry in Path("/proc").iterdir():
        try:
            name = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if name.startswith(b"ray::Replica") and _descends(int(entry.name), os.getpid()):
            yield int(entry.name)


def _descends(child: int, ancestor: int) -> bool:
    while child > 1:
        if child == ancestor:
            return True
        try:
            stat = Path(f"/proc/{child}/stat").read_text("utf-8")
        except OSError:
            return False
        child = int(stat.rpartition(")")[2].split()[1])
    return False
