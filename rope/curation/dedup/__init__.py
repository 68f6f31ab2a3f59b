"""Near-duplicate products: evidence, linkage, merging."""
