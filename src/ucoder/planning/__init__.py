"""What a run will take, before it; how far off that was, after it.

figures.yaml   what is assumed, row by row
assumptions    these rows as ranges
work           what a configuration does and leaves, by stage
rates          how fast a machine is
plan           all of it, and the hours
review         what a run has shown, and a plan against its run
"""
