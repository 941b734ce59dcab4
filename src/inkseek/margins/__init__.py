"""RAMLN's learned margin: a relation network that reads an external memory, and the bilevel step that teaches it."""
