"""Recommendation with item vectors: the next item of each user, ranked among all items."""
