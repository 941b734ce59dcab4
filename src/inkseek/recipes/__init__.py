"""One YAML a published row; addressed by name from the command line."""
