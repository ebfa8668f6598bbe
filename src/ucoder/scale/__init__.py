"""Where a run's work is done: a scheduler decides, and the rest of the code need not know.

protocol   what the pipeline asks of a scheduler
local      one engine and one executor, on this machine
ray        as many of these as a cluster holds, each in an actor of its own (`replica`)
training   stage 6 on a node of a cluster
"""
