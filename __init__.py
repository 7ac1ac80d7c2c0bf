"""Tuwen (图文): Chinese image-text pairs → corpus → shards of VQ codes → a trained text-to-image transformer.

The map of the house; imports go one way, from the top to the ground:

    train/      manifest → position → row → batch → model → checkpoint → picture
    tokenize/   corpus → crop → VQ codes and caption ids → shards
    pipeline/   sources → measure → judge → match → keep → corpus
    manifests/  the record, the shard file, the manifest, and the proof of them

Stages meet on disk: each leaves a folder with a manifest, and the next reads only that.
"""
