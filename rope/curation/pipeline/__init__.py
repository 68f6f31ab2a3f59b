"""The machinery of a run: recipe, pool, shards, workers, engines, accounting."""
