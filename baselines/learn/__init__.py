"""LEARN: frozen content embeddings of items, adapted to what users take (Jia et al., arXiv 2405.03988).

Written from the published model; reads the checkpoints of the authors' release for the Amazon reviews.
"""
