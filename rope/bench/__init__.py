"""The benchmark: embeddings in, protocol, engine, report."""
