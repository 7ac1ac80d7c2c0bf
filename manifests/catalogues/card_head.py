"""The head of a README.md that Hugging Face `datasets` reads: which files belong to which split.

lines = card_head({"train": ["train-00000.tar"], "validation": []})
"""


def card_head(splits: dict[str, list[str]], metadata: list[str] | None = None) -> list[str]:
    """Return lines of YAML between `---`; `metadata` are further lines, such as `license: cc0-1.0`.

    Without the list of files, Hugging Face takes every file that is named like a split for data.
    """
    head = ["---", *(metadata or []), "configs:", "- config_name: default", "  data_files:"]
    for split, names in splits.items():
        head += [f"  - split: {split}", "    path:", *(f"    - {name}" for name in names)] if names else []
    return [*head, "---"]
