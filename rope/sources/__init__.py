"""Readers of releases: each turns what its authors ship into tables of samples."""
