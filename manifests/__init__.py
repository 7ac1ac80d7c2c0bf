"""The ground floor: the pair, the shard file, the manifest, and the proof of them. It imports no other room."""
