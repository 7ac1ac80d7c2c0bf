"""What other tools look for beside a folder of tars: Croissant, the wids index, the head of a dataset card."""
