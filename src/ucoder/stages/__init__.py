"""The six stages of the paper (section 2.2, figures 2 and 3), one module each.

    problems        1  a topic -> a problem
    ratings         2  a problem -> its quality score
    interfaces      3  a problem -> its signature and contract
    test_inputs     4  a problem -> about 100 inputs
    solutions       5  a problem and its inputs -> candidates, executions, a selection
    consolidation   6  selections -> training pairs

Before stage 1, `topics` has the model name what problems are to be about. Stages 1 to 3 run as one
task an attempt: see `ucoder.attempts`.
"""
