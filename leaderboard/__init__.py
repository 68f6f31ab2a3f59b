"""The leaderboard: results that anyone can recompute, and the site that shows them."""

import rope as _rope  # noqa: F401  old names of this package work while rope.moved knows them
