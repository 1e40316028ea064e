"""Run the command line: ``python -m optode`` does what ``optode`` does."""

from optode.cli.main import main

main()
