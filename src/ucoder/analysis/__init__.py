"""A run's records in numbers: this package counts over records and decides nothing.

    numbers         tallies, distributions, JSON-able values
    figures         the paper's figures 4, 6 and 8
    diversity       whether a run's problems differ from each other
    problem_space   stages 1 to 4: what was tried, what was refused and why
    solution_space  stages 5 and 6, by iteration
    ballots         one problem's clusters, counted again from the records
    scores          benchmarks, before and after
    costs           seconds and tokens by stage
    summary         all of it for one run

`summarise(run)` serves status and report; `take_ballot` serves the view of a single problem.
"""
