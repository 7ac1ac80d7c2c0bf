"""Runs a function over parts on Ray: resumable, fingerprinted, with progress and memory measured."""
