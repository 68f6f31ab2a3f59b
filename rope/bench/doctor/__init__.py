"""Diagnosis of a set of embeddings: what is wrong with them, what it costs, and what to do about it."""
