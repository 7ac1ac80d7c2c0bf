"""`tuwen export`: the kept pairs as ordinary WebDataset tars, with a data card."""
