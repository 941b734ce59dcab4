"""Backbone, head, and the bundle they are kept in."""
