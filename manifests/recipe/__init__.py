"""The declared inputs of a run: the recipe, its sections, the published presets, and the recipes that are shipped."""
