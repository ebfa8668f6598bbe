"""What a cluster is and which candidate wins (section 2.3): pure functions over plain records.

signatures   definition 2.1, e(r) of definition 2.3, and which inputs count
selection    section 2.3.2: clusters (definition 2.2), reliability, consensus, r*
"""
