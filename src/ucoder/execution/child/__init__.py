"""What runs inside the sandbox; standard library only.

The files of this folder and of `canonical/` are mounted read-only into the sandbox, where nothing
else of this project exists. `worker` is the warm interpreter that takes programs from a pipe,
`watch` follows one forked program from the worker's side, and `runner` is the code that runs in
the fork, around the program itself.
"""
