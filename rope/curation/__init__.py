"""From a raw pool to a split that can be published: filter, sample, annotate, merge, split."""
