"""Files for other tools beside a folder of tars: Croissant, the index of wids, the head of a data card."""
