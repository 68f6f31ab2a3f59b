"""Recognised speech, which is long and noisy, to one line about the product: by a language model, as in AMPere."""
