"""What the vectors of items are worth for recommendation: the next item of each user, found among all items."""
