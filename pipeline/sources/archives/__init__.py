"""Tars and zips of any kind → pictures with their captions."""
