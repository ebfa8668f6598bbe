"""`ucoder doctor`: is this machine ready? A checkup, an attack on the sandbox, and its speed.

Without a subcommand it is the checkup. `doctor_checks` and `doctor_rates` implement the subcommands
and are imported only when needed, so that `ucoder --help` stays fast.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ucoder.cli.interrupts import INTERRUPTS
from ucoder.cli.terminal import PlainConsole
from ucoder.config import load_config

_SUBCOMMANDS = ("execution", "rates")
"""Former options `--execution` and `--rates`."""

out = PlainConsole()


class _DoctorGroup(TyperGroup):
    """The subcommands, with a hint where a former option is given."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for name in _SUBCOMMANDS:
            if f"--{name}" in args:
                raise typer.BadParameter(
                    f"--{name} is a subcommand now: ucoder doctor {name} [OPTIONS]", ctx=ctx
                )
        return super().parse_args(ctx, args)


doctor = typer.Typer(
    cls=_DoctorGroup,
    rich_markup_mode="markdown",
    help="""
Check this machine by using each part: sandbox, engine, trainer, memory, disk, model cache.

Examples:
    ucoder doctor

    ucoder doctor execution --provider landlock

    ucoder doctor rates --config my.yaml --training -o gpu.yaml
""",
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@doctor.callback(invoke_without_command=True)
def checkup(ctx: typer.Context, json: Json = False) -> None:
    """Check every part of this machine; exit status 1 if one does not work."""
    if ctx.invoked_subcommand is not None:
        if json:
            raise typer.BadParameter(f"write --json after {ctx.invoked_subcommand}")
        return
    from ucoder.cli.doctor_checks import print_checkup

    _exit(INTERRUPTS.run(print_checkup(json, out)))


@doctor.command()
def execution(
    provider: Annotated[
        str, typer.Option(help="Which provider; auto: the best one that starts here.")
    ] = "auto",
    full: Annotated[
        bool, typer.Option("--full", help="Run every attack instead of the short version.")
    ] = (False),
    json: Json = False,
) -> None:
    """Attack the sandbox and print which properties hold; exit status 1 if a claimed one does not.

    Examples:
        ucoder doctor execution

        ucoder doctor execution --provider landlock --full
    """
    from ucoder.cli.doctor_checks import print_conformance

    _exit(INTERRUPTS.run(print_conformance(provider, full, json, out)))


@doctor.command()
def rates(
    config: Annotated[
        str,
        typer.Option(help="A preset or YAML file: its engine, model and executor are measured."),
    ] = "demo",
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting, such as engine.provider=vllm; may be repeated."),
    ] = None,
    training: Annotated[
        bool, typer.Option("--training", help="Measure training as well, which takes longest.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write. [user's cache]")
    ] = None,
    json: Json = False,
) -> None:
    """Measure how fast this machine samples, runs programs and trains, for `ucoder plan`.

    Examples:
        ucoder doctor rates

        ucoder doctor rates --config my.yaml --set engine.provider=vllm --training -o gpu.yaml
    """
    from ucoder.cli.doctor_rates import print_rates

    INTERRUPTS.run(print_rates(load_config(config, setting or []), output, training, json, out))


def _exit(is_well: bool) -> None:
    if not is_well:
        raise typer.Exit(1)
