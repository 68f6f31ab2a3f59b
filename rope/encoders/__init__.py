"""Pretrained encoders that the toolkit itself uses; the baselines stand on the same code."""
