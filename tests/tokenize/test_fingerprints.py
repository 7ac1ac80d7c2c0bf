"""What the fingerprints of this room's stages hold: the code that computes, not the code that drives or names files."""

from tuwen.pipeline.executor.fingerprint import made_by
from tuwen.tokenize.export_samples import EXPORT_SAMPLES
from tuwen.tokenize.train_tokenizers import CROP
from tuwen.tokenize.write_shards import TOKENIZE

PICTURES_AGAIN = {
    "manifests/errors.py",
    "pipeline/executor/part.py",
    *(f"pipeline/pictures/{name}.py" for name in ("broken_files", "decode", "measured_pictures", "upright_rgb")),
    "pipeline/sources/reader.py",
    "pipeline/sources/source.py",
    "tokenize/crops.py",
    "tokenize/image_codes.py",
}


def test_cropping_depends_on_how_pictures_are_read_and_cropped() -> None:
    assert set(made_by(CROP.function, ()).code) == PICTURES_AGAIN


def test_tokenizing_depends_on_cropping_the_tokenizers_and_the_shard_format() -> None:
    assert set(made_by(TOKENIZE.function, ()).code) == {
        *PICTURES_AGAIN,
        *(f"manifests/{name}.py" for name in ("atomic", "canonical", "documents")),
        *(f"manifests/shards/{name}.py" for name in ("block_shard", "tar_member")),
        *(f"tokenize/{name}.py" for name in ("caption_ids", "compact_codes", "compact_vq", "encode_shard")),
        *(f"tokenize/{name}.py" for name in ("read_image_codes", "shard_header")),
    }


def test_exporting_depends_on_neither_pictures_nor_tokenizers() -> None:
    code = set(made_by(EXPORT_SAMPLES.function, ()).code)
    assert {path for path in code if path.startswith("tokenize/")} == {
        "tokenize/export_shard.py",
        "tokenize/image_codes.py",
        "tokenize/shard_header.py",
    }
    assert {path for path in code if path.startswith("pipeline/")} == {"pipeline/executor/part.py"}
