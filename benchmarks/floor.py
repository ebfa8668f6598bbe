"""The floor under every executor that forks: a warm interpreter, a fork, the calls, nothing else.

Runs under the worker's own interpreter and flags and with its preloaded modules. No isolation, no
limits, no results, no cleaning up. Started by `execution.py`.

The jobs lie in a mapped file, which a fork does not copy: it holds one at a time, as a worker does.
"""

import gc
import importlib
import marshal
import mmap
import os
import sys
import time
from pathlib import Path


def receive():
    """Read one frame, as `frames.send` writes it."""
    header = sys.stdin.buffer.read(8)
    return marshal.loads(sys.stdin.buffer.read(int.from_bytes(header))) if header else None


def send(value):
    """Write one frame, as `frames.receive` reads it."""
    data = marshal.dumps(value, 4)
    sys.stdout.buffer.write(len(data).to_bytes(8) + data)
    sys.stdout.buffer.flush()


def run(source, entry_point, arguments):
    """One program: fork, compile, call, end, wait."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            namespace = {"__name__": "solution"}
            exec(compile(source, "<program>", "exec"), namespace)
            function = namespace[entry_point]
            for packed in arguments:
                function(*marshal.loads(packed))
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1] != 0


def main():
    """Warm up, then run what is asked for."""
    first = receive()
    for name in first["modules"]:
        try:
            importlib.import_module(name)
        except ImportError:  # as the worker: an interpreter may be built without some
            continue
    with Path(first["store"]).open("rb") as file:
        store = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    places = first["places"]
    held, job = -1, None
    gc.collect()
    gc.freeze()
    send({})
    while (request := receive()) is not None:
        latencies, n_wrong = [], 0
        started = time.perf_counter()
        for i, index in enumerate(request["order"]):
            if index != held:
                start, end = places[index]
                held, job = index, marshal.loads(store[start:end])
            at = time.perf_counter()
            source = f"{job['source']}\n# {request['stamp']} {i}\n"
            n_wrong += run(source, job["entry_point"], job["arguments"])
            latencies.append(time.perf_counter() - at)
        seconds = time.perf_counter() - started
        send({"seconds": seconds, "latencies": latencies, "n_wrong": n_wrong})


if __name__ == "__main__":
    main()
