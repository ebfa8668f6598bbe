"""Programs that look for someone to talk to. The only ones there are listeners of the suite."""

from __future__ import annotations

from typing import Final

from ucoder.execution.conformance.judges import denied, only_names, returned
from ucoder.execution.conformance.properties import Property
from ucoder.execution.conformance.records import attack
from ucoder.execution.conformance.targets import (
    abstract_listener,
    listener,
    listener_v6,
    path_listener,
    resolver,
)

_CONNECT: Final = """
import socket
def f():
    with socket.socket({family}) as s:
        s.settimeout(0.3)
        s.connect({address})
"""
_QUESTION: Final = """
import socket
HEADER = bytes.fromhex("123401000001000000000000")
NAME = b"\\7example\\7invalid\\0\\0\\1\\0\\1"
def f():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.3)
        s.sendto(HEADER + NAME, ("127.0.0.1", PORT))
        return s.recv(512)
"""

ATTACKS: Final = (
    attack(
        "tcp",
        Property.NETWORK,
        "connects to a TCP port of this machine",
        _CONNECT.format(family="socket.AF_INET", address="('127.0.0.1', PORT)"),
        denied(),
        guard=listener,
        quick=True,
        harmless=True,
    ),
    attack(
        "tcp-over-ipv6",
        Property.NETWORK,
        "connects to a TCP port of this machine over IPv6",
        _CONNECT.format(family="socket.AF_INET6", address="('::1', PORT)"),
        denied(),
        guard=listener_v6,
        harmless=True,
    ),
    attack(
        "tcp-in-a-child",
        Property.NETWORK,
        "has a child process connect to a TCP port of this machine",
        """
        import os, socket
        def f():
            pid = os.fork()
            if pid == 0:
                try:
                    socket.create_connection(("127.0.0.1", PORT), 0.3)
                finally:
                    os._exit(0)
            return os.waitpid(pid, 0)[1]
        """,
        returned("0"),
        guard=listener,
        harmless=True,
    ),
    attack(
        "name-look-up",
        Property.NETWORK,
        "asks a resolver on this machine for a name",
        _QUESTION,
        denied(),
        guard=resolver,
        harmless=True,
    ),
    attack(
        "fast-open",
        Property.NETWORK,
        "sends data together with the request to connect",
        """
        import socket
        def f():
            with socket.socket(socket.AF_INET) as s:
                s.settimeout(0.3)
                s.sendto(b"x", 0x20000000, ("127.0.0.1", PORT))
        """,
        denied(),
        guard=listener,
        harmless=True,
    ),
    attack(
        "see-network-devices",
        Property.NETWORK,
        "lists the network devices and addresses of this machine",
        """
        import socket
        def f():
            try:
                return [name for _, name in socket.if_nameindex()]
            except OSError:
                return []
        """,
        only_names(("lo",)),
        harmless=True,
    ),
    attack(
        "abstract-socket",
        Property.LOCAL_SOCKETS,
        "connects to an abstract Unix socket of another process",
        _CONNECT.format(family="socket.AF_UNIX", address="ADDRESS"),
        denied(),
        guard=abstract_listener,
        quick=True,
        harmless=True,
    ),
    attack(
        "socket-at-a-path",
        Property.LOCAL_SOCKETS,
        "connects to a Unix socket at a path outside",
        _CONNECT.format(family="socket.AF_UNIX", address="ADDRESS"),
        denied(),
        guard=path_listener,
        harmless=True,
    ),
    attack(
        "datagram-from-a-pair",
        Property.LOCAL_SOCKETS,
        "sends from one of a pair of datagram sockets to an abstract address",
        """
        import errno, socket
        def f():
            try:
                one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
                one.connect(ADDRESS)
                return "reached"
            except OSError as error:
                # The listener's type is another one; to learn that is to reach it.
                return "reached" if error.errno == errno.EPROTOTYPE else "refused"
        """,
        returned("'refused'"),
        guard=abstract_listener,
        harmless=True,
    ),
    attack(
        "rare-sockets",
        Property.KERNEL_SURFACE,
        "makes sockets of every family but IPv4, IPv6 and Unix",
        """
        import socket
        def f():
            made = set()
            for family in set(range(1, 46)) - {1, 2, 10}:
                for kind in range(1, 6):
                    try:
                        socket.socket(family, kind, 0).close()
                        made.add(family)
                    except OSError: pass
            return sorted(made)
        """,
        returned("[]"),
        harmless=True,
    ),
    attack(
        "raw-sockets",
        Property.KERNEL_SURFACE,
        "makes raw sockets, for packets of any form",
        """
        import socket
        def f():
            made = []
            for family in (socket.AF_INET, socket.AF_INET6):
                for protocol in (1, 17, 58, 255):
                    try:
                        socket.socket(family, socket.SOCK_RAW, protocol).close()
                        made.append((family, protocol))
                    except OSError: pass
            return made
        """,
        returned("[]"),
        harmless=True,
    ),
)
