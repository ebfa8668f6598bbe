"""Where a run's work is done; a scheduler decides, and nobody else needs to know.

protocol   what the pipeline asks of a scheduler
local      one engine and one executor, here
ray        as many of these as a cluster holds, each in an actor of its own (`replica`)
training   stage 6 on a node of a cluster
"""
