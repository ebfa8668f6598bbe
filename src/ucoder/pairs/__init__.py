"""Which training pairs stage 6 makes of what was selected, and what they say.

making       one iteration's pairs, from its records
arms         the candidates that an arm learns which does not learn what was selected
evidence     the statement's examples, held against what the selected program returned
quality      which member of the winning cluster a pair teaches
difficulty   how hard a problem is, and which pairs are kept
preferences  the selected program beside a rival that behaves differently
"""
