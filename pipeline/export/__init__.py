"""`tuwen export`: the kept pairs in a format that others read, with a manifest and a data card."""
