"""The leaderboard: results that anyone can recompute, and the site that shows them."""
