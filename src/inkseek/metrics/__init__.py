"""Pure functions from embeddings to figures."""
