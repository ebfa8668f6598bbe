"""What Linux says in /proc about this process's descendants: who they are, CPU time, memory."""

from __future__ import annotations

import os
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold spaces itself."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def parents() -> dict[int, int]:
    """Each process's parent."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = int(_stat(int(entry.name))[1])
            except OSError:  # it ended meanwhile
                continue
    return found


def descendants(root: int | None = None) -> set[int]:
    """Every process below `root`, below this one where None."""
    parent_of = parents()
    found: set[int] = set()
    wave = {root or os.getpid()}
    while wave:
        wave = {pid for pid, parent in parent_of.items() if parent in wave}
        found |= wave
    return found


def leaves(pids: set[int]) -> list[int]:
    """Those without children: of an idle executor's processes, its workers."""
    return sorted(pids - set(parents().values()))


def cpu_s(pids: set[int]) -> float:
    """CPU seconds of processes and of the children that they have waited for."""
    total = 0
    for pid in pids:
        try:
            total += sum(map(int, _stat(pid)[11:15]))
        except OSError:
            continue
    return total * _TICK_S


def rss_kib(pid: int) -> int:
    """Resident memory, shared pages counted in full."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_KIB


def pss_kib(pid: int) -> int | None:
    """Resident memory, each shared page divided by its users; None where we may not see it."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # workers hide their memory from everyone but root
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), None)
