"""Where pairs come from: folders, tars, Parquet, and the emoji; each is cut into parts and read as a stream."""
