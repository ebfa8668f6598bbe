"""`python -m ucoder`."""

from ucoder.cli import main

main()
