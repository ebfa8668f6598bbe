"""What a run's records say: counted over records, deciding nothing.

    numbers         tallies, distributions, JSON-able values
    diversity       lexical entropy of problems (figure 4), size of programs (figure 8)
    quality         perplexity against execution success (figure 6)
    problem_space   stages 1 to 4: what was tried, what was refused and why
    solution_space  stages 5 and 6, by iteration
    ballots         one problem's clusters, counted again from the records
    scores          benchmarks, before and after
    costs           seconds and tokens by stage
    summary         all of it for one run

`summarise(run)` is the door for status and report, `take_ballot` the one for a single problem.
"""
