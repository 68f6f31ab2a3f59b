"""Embedders to compare with; each is named `baselines:NAME` on the command line."""
