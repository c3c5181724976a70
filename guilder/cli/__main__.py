"""`python -m guilder.cli`."""

from guilder.cli import main

main()
