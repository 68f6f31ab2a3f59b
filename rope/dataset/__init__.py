"""Dataset directories: build, load, validate, describe."""
