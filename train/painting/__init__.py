"""Prompts → codes → pictures, and how well they match."""
