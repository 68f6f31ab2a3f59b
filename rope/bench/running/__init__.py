"""A model run over a split: its identity, its checks, its resumable output."""
