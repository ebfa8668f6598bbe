"""The `ucoder` command: run, resume, status, show, eval, export, report, doctor."""

from ucoder.cli.app import main

__all__ = ["main"]
