"""Sound to recognised speech by a speech model; and that, long and noisy, to one line about the product by an LLM."""
