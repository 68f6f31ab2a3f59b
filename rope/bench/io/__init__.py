"""Files of vectors: read, aligned with labels, written."""
