"""Ranks by counting, certified: the engine and its arithmetic."""
