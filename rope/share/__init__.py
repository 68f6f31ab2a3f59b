"""Datasets handed on: to the Hub and from it, described in Croissant, written as WebDataset tars."""
