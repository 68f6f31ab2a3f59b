"""Search queries: the tasks beside the six pairs, whose questions are no samples of the dataset."""
