"""What a cluster is and which candidate wins (section 2.3): pure functions on plain records.

votes         one problem's executions as numbers; definition 2.1 and e(r) of definition 2.3
inputs        which inputs count, and the fewest that keep the partition
agreement     how far programs agree, beyond chance
selectors/    rules that choose: the paper's (section 2.3.2), ours, and published ones
selection     from votes and a rule to a selection
probability   how likely the selected program is correct
stopping      when further candidates are not worth sampling
explanation   a selection in words, and signs that a problem has no single exact answer
theorem       theorem 2.4, and how far its assumptions hold
"""
