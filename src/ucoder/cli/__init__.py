"""The `ucoder` command: run, resume, status, show, eval, export, report, doctor."""

from ucoder.cli.interrupts import INTERRUPTS

__all__ = ["main"]


def main() -> None:
    """Entry point of the `ucoder` command."""
    with INTERRUPTS.handled():
        from ucoder.cli.app import run_command  # takes a while, and Ctrl-C works from here on

        run_command()
