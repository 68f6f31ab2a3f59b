"""`python -m baselines.learn`."""

from baselines.learn.cli import main

main()
