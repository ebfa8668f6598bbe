"""Experiments on samples that exist already: which selector, how many inputs, how many samples.

    samples      published samples, read from a file of JSON lines
    inputs       the test inputs of one task of such a file
    pools        the task's programs executed on them, kept on disk so that a study takes seconds
    tasks        an executed task as numbers, and what a selector chooses there

    selection    selector against selector; `calibration` scores the probabilities
    subsets      how many inputs and how many samples a choice needs
    sequential   where sampling in rounds may stop
    adversary    planted wrong programs that agree on purpose
    results      what a study returns: tables and a summary, written and printed; `figures` draws

Each study is a function from tasks to a `results.Study`. The truth, where a file holds it, scores
a selection and never takes part in one. Tables need pandas and figures matplotlib: the extra
`study` installs both.
"""
