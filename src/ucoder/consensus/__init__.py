"""What a cluster is and which candidate wins (section 2.3): pure functions over plain records.

votes         one problem's executions as numbers; definition 2.1 and e(r) of definition 2.3
inputs        which inputs count, and the fewest that keep the partition
agreement     how far programs agree, and what of it is more than chance
selectors/    rules that choose: the paper's (section 2.3.2), ours, and everybody else's
selection     votes and a rule make a selection
probability   how sure it is
flags         signs that a problem has no single exact answer
explanation   a selection in words
"""
