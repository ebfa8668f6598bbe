"""One self-contained HTML page about a run, which opens offline.

    page           `write_report(run)`: gathers, renders, writes
    template.html  the page itself: text, styles, no script
    plots          figures as inline SVG, in the page's own colours
    funnel         what each stage kept and why it lost the rest
    scores         benchmarks: scores, tasks not run, problems that a benchmark asks too
    examples       a few problems with their clusters side by side
    limits         what must not be concluded from the run
    words          harmless text, numbers, comparisons, the abstract

It reads a run directory and writes `report.html` into it; only the command line imports it. Needs
`pip install "ucoder[report]"`.
"""

from ucoder.report.page import write_report

__all__ = ["write_report"]
