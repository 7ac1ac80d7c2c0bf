"""The rows of a table file, whatever its format and its encoding: CSV, TSV, JSON, Parquet, Arrow."""
