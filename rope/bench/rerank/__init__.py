"""A second stage: the first candidates of a result, put in another order by a re-ranker, and scored again."""
