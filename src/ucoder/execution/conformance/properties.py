"""What a sandbox can hold: the rows of the table that every provider is measured by."""

from __future__ import annotations

from enum import Enum


class Property(Enum):
    """One thing that a provider holds or does not; the value says it in plain words."""

    TIME = "a program that does not end is ended: loops, sleeps, blocked reads, caught timeouts"
    CPU_LOOPS = "the same inside C code: regular expressions, huge numbers, itertools"
    MEMORY = "a process of the program cannot take more memory than it is allowed"
    PROCESSES = "fork bombs and thread bombs are stopped"
    DISK = "the disk cannot be filled"
    OPEN_FILES = "open files are bounded"
    OUTPUT = "printing and returning without end harms nobody; standard input is empty"
    CRASHES = "segmentation faults, exits and deep recursion cost the program its own calls only"
    NETWORK = "no other machine and no service of this one can be reached, nor a name looked up"
    LOCAL_SOCKETS = "Unix sockets of other processes cannot be reached, abstract ones included"
    HOST_FILES_READ = "no file outside can be read but the interpreter's and the system's libraries"
    HOST_FILES_WRITE = "no file outside can be made, changed or removed"
    HOST_METADATA = "not even the existence of files outside, or the machine's name, can be learnt"
    ENVIRONMENT = "the caller's environment variables cannot be read"
    OTHER_PROCESSES = "processes outside can be neither listed, signalled nor slowed down"
    WORKER_ALIVE = "a program cannot kill, stop or starve the worker that runs it"
    WORKER_MEMORY = "the worker's memory and open files can be neither read nor written"
    KERNEL_SURFACE = "rare system calls are refused: ptrace, mount, unshare, bpf, io_uring, ..."
    CLEAN_TMP = "files that a program leaves are gone before the next one starts"
    CLEAN_PROCESSES = "processes that a program leaves, daemons included, are gone as well"
    CLEAN_IPC = "shared memory, semaphores and message queues that it leaves are gone as well"
    DETERMINISM = "hash seed, time zone, locale and random state are the same for every program"
    RESULTS = "hostile objects and forged records change only the program's own answers"
    VERDICTS = "tests given apart cannot be made to pass, nor their expected answers be read"

    @property
    def title(self) -> str:
        """The name as it stands in tables, such as `host files read`."""
        return self.name.lower().replace("_", " ")
