"""Every error that ucoder raises on purpose, drawn as one tree.

    UcoderError
    ├── ConfigError              a configuration that cannot run; lists every fault at once
    ├── InvalidArgument          a function was given a value outside its range
    ├── FileError                the system refuses to read or write a file; says which
    │   └── DiskFull             too little space, wherever something is written
    ├── MissingDependency        an optional package is needed; carries the install command
    ├── ModelError
    │   ├── UnknownModel         no catalog entry, no local path, no hub id that answers
    │   ├── NotAModel            the path is there, but holds no causal language model
    │   ├── ChecksumMismatch     the bytes that arrived are not the bytes that were promised
    │   └── NoSourceReachable    every source failed; carries why each did
    ├── EngineError              an engine refused a request or broke while sampling
    │   ├── EngineLost           its process is gone: what was asked can be asked elsewhere
    │   └── RequestRefused       this one request cannot be served; others may be
    ├── ClusterError             a cluster cannot be reached or used
    ├── SandboxError
    │   ├── SandboxUnavailable   isolation cannot start on this machine; carries the way to fix it
    │   └── SandboxClosed        a program was sent to an executor that was shut down
    ├── RunError
    │   ├── RunLocked            another process writes to this run
    │   ├── RunExists            the folder already holds a run
    │   ├── NotARun              the folder holds none
    │   ├── DamagedShard         a table's file cannot be read
    │   └── NothingToDo          a stage has no input left (no problem accepted, none selected)
    ├── TrainingError            fine-tuning failed
    └── BenchmarkError           benchmark data are missing or malformed

A message says what was got, what is allowed and what to do next. Every error takes its message
as its only argument, so that it survives pickling across processes unchanged.
"""

from __future__ import annotations

import shlex


class UcoderError(Exception):
    """Base of every error raised on purpose; catch it to tell our refusals from bugs."""


class ConfigError(UcoderError):
    """The configuration cannot run. The message lists every fault, one a line."""


class InvalidArgument(UcoderError, ValueError):
    """A function was given a value outside its range; the message names the range."""


class FileError(UcoderError):
    """The system refuses to read or write a file; the message says which, why, and what to do."""


class DiskFull(FileError):
    """Too little free space; the message says where, and what to do."""


class MissingDependency(UcoderError):
    """An optional dependency is not installed; the message holds the command that installs it."""


class ModelError(UcoderError):
    """Weights could not be found, verified or converted."""


class UnknownModel(ModelError):
    """The name is not a catalog entry, a local path or a model on the hub."""


class NotAModel(ModelError):
    """The path exists and holds no causal language model that can be loaded."""


class ChecksumMismatch(ModelError):
    """A download's sha256 differs from the catalog's; the bytes were thrown away."""


class NoSourceReachable(ModelError):
    """Every source of a model failed; the message gives the reason for each."""


class EngineError(UcoderError):
    """An engine refused a request, could not load its model, or broke while sampling."""


class EngineLost(EngineError):
    """The engine's process is gone; nothing is wrong with what it was asked."""


class RequestRefused(EngineError):
    """An engine cannot serve one request, such as a prompt that is too long; others may be."""


class ClusterError(UcoderError):
    """A cluster cannot be reached, has no room, or its nodes differ from each other."""


class SandboxError(UcoderError):
    """Running untrusted programs is not possible."""


class SandboxUnavailable(SandboxError):
    """Isolation cannot start here; the message says what is missing and how to fix it."""


class SandboxClosed(SandboxError):
    """A program was handed to an executor that has been shut down."""


class RunError(UcoderError):
    """A run directory cannot be used as asked."""


class RunLocked(RunError):
    """Another process holds the run's lock."""


class RunExists(RunError):
    """A new run was asked for in a folder that already holds one."""


class NotARun(RunError):
    """The folder holds no run."""


class DamagedShard(RunError):
    """A table's file cannot be read; the message names it and what to do."""


class NothingToDo(RunError):
    """A stage was left without input, so the run cannot go on."""


class TrainingError(UcoderError):
    """Fine-tuning failed."""


class BenchmarkError(UcoderError):
    """Benchmark data are missing or malformed."""


def command(*words: object) -> str:
    """A command of ours for a hint, quoted so that it can be copied into a shell."""
    return shlex.join(["ucoder", *map(str, words)])
