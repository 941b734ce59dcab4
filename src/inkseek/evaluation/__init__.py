"""A model on a protocol: figures, pictures, report."""
