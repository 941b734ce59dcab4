"""The drawing page and the API behind it."""
