"""Attribute prediction: any column of the products table, predicted from embeddings of other products."""
