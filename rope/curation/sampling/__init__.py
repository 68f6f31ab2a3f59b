"""Samples by keyed hashes of ids, nested and stratified."""
