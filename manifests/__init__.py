"""The ground floor: the pair, the shard file, the manifest, and their verification. It imports no other room."""
