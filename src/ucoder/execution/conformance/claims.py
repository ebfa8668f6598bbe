"""The properties of a sandbox, which provider claims to hold which, and the table of these claims.

The suite tests every claim.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum
from typing import Final


class Property(Enum):
    """A property that a provider holds or does not hold; the value describes it in a sentence."""

    TIME = "a program that does not end is ended: loops, sleeps, blocked reads, caught timeouts"
    CPU_LOOPS = "the same inside C code: regular expressions, huge numbers, itertools"
    MEMORY = "a process of the program cannot take more memory than it is allowed"
    PROCESSES = "fork bombs and thread bombs are stopped"
    DISK = "the disk cannot be filled"
    OPEN_FILES = "open files are bounded"
    OUTPUT = "endless output and endless results do no harm; standard input is empty"
    CRASHES = "segmentation faults, exits and deep recursion cost the program its own calls only"
    NETWORK = "no other machine and no service of this one can be reached; no name can be resolved"
    LOCAL_SOCKETS = "Unix sockets of other processes cannot be reached, abstract ones included"
    HOST_FILES_READ = "only the interpreter's and the system's libraries can be read outside"
    HOST_FILES_WRITE = "no file outside can be created, changed or removed"
    HOST_METADATA = "neither the existence of files outside nor the machine's name can be learnt"
    ENVIRONMENT = "the caller's environment variables cannot be read"
    OTHER_PROCESSES = "processes outside cannot be listed, signalled or slowed down"
    WORKER_ALIVE = "a program cannot kill, stop or starve the worker that runs it"
    WORKER_MEMORY = "the worker's memory and open files cannot be read or written"
    KERNEL_SURFACE = "rare system calls are refused: ptrace, mount, unshare, bpf, io_uring, ..."
    CLEAN_TMP = "files that a program leaves are gone before the next one starts"
    CLEAN_PROCESSES = "processes that a program leaves, daemons included, are gone as well"
    CLEAN_IPC = "shared memory, semaphores and message queues that it leaves are gone as well"
    DETERMINISM = "hash seed, time zone, locale and random state are the same for every program"
    RESULTS = "hostile objects and forged records change only the program's own answers"
    VERDICTS = "separate tests cannot be made to pass, and their expected answers cannot be read"

    @property
    def title(self) -> str:
        """The name as tables show it, such as `host files read`."""
        return self.name.lower().replace("_", " ")

    @property
    def folder(self) -> str:
        """The folder of the attacks on this property, such as `host-files-read`."""
        return self.name.lower().replace("_", "-")


_BOUNDED: Final = {
    Property.TIME,
    Property.CPU_LOOPS,
    Property.MEMORY,
    Property.OPEN_FILES,
    Property.OUTPUT,
    Property.CRASHES,
    Property.RESULTS,
    Property.DETERMINISM,
}
"""What resource limits and a fork for each program give, without any isolation."""

CLAIMS: Final[dict[str, frozenset[Property]]] = {
    "bubblewrap": frozenset(Property),
    "landlock": frozenset(Property) - {Property.HOST_METADATA, Property.DISK},
    "unsafe-process": frozenset(_BOUNDED),
}
"""What each provider claims to hold, by its name."""

BEGIN: Final = "<!-- conformance table: begin -->"
END: Final = "<!-- conformance table: end -->"


def claims(provider: str) -> frozenset[Property]:
    """Return what a provider claims to hold; nothing for an unknown provider."""
    return CLAIMS.get(provider, frozenset())


def claims_table(attacked: Iterable[Property]) -> str:
    """Write the claims as a Markdown table: one row for each property, one column a provider.

    Args:
        attacked: The property of each attack, to count the attacks on each.
    """
    providers = list(CLAIMS)
    n_attacks = Counter(attacked)
    lines = [
        f"| property | attacks | {' | '.join(f'`{name}`' for name in providers)} |",
        "|---|---:|" + ":-:|" * len(providers),
    ]
    for property in Property:
        cells = ["holds" if property in CLAIMS[name] else "-" for name in providers]
        text = f"**{property.title}**: {property.value}"
        lines.append(f"| {text} | {n_attacks[property]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def replace_table(text: str, table: str) -> str:
    """Put a table between the two marks `BEGIN` and `END` of a text.

    Raises:
        ValueError: The text lacks the marks.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the text lacks the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"
