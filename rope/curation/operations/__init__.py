"""The operations that a recipe calls by a short name."""
