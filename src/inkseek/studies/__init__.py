"""The papers' tables and figures as commands, each a list of recipes with claims to judge and a figure to draw."""
