"""Failures with pictures: chosen queries, what a model finds for them, and the best it should have found."""
