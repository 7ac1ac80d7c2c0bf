"""What the fingerprints of this room's stages hold: the code that computes, not the code that drives or names files."""

from tuwen.pipeline.executor.fingerprint import closure, made_by
from tuwen.pipeline.executor.stage import Stage
from tuwen.tokenize.compact.train_on_corpus import CROP
from tuwen.tokenize.encode.write_shards import TOKENIZE
from tuwen.tokenize.export_codes.export_parquet import EXPORT_PARQUET
from tuwen.tokenize.export_codes.export_samples import EXPORT_SAMPLES

CROPS = {f"tokenize/crops/{name}.py" for name in ("boxes", "cropped", "resample")}
PICTURES_AGAIN = set(closure(("pipeline/pictures/measured_pictures.py",)))
SHARD_FORMAT = set(closure(("manifests/shards/block_shard.py",)))


def needed(stage: Stage) -> set[str]:  # type: ignore[type-arg]
    return set(made_by(stage.function, ()).code)


def test_cropping_depends_on_how_pictures_are_read_and_cropped() -> None:
    assert needed(CROP) == {*PICTURES_AGAIN, *CROPS, "tokenize/image_codes.py"}


def test_tokenizing_depends_on_cropping_the_tokenizers_and_the_shard_format() -> None:
    assert needed(TOKENIZE) == {
        *PICTURES_AGAIN,
        *(CROPS - {"tokenize/crops/cropped.py"}),
        *SHARD_FORMAT,
        "manifests/shards/row_meta.py",
        *(f"tokenize/{name}.py" for name in (
            "caption_ids", "compact/blocks", "compact/compact_codes", "compact/compact_vq", "devices",
            "encode/blocks",
            "encode/crops_ahead", "encode/encode_rows", "encode/encode_shard", "encode/encoded_rows",
            "encode/in_background",
            "encode/part_progress", "encode/quality_gate", "image_codes", "quality", "read_image_codes",
            "shard_header")),
    }  # fmt: skip
    assert not {"manifests/manifest.py", "manifests/run_folders.py"} & needed(TOKENIZE)


def of_this_room(stage: Stage) -> set[str]:  # type: ignore[type-arg]
    return {path for path in needed(stage) if not path.startswith("manifests/")}


def test_exporting_depends_on_neither_pictures_nor_tokenizers() -> None:
    tars = {
        "pipeline/executor/part.py",
        "tokenize/export_codes/export_shard.py",
        "tokenize/image_codes.py",
        "tokenize/shard_header.py",
    }
    assert of_this_room(EXPORT_SAMPLES) == tars
    assert of_this_room(EXPORT_PARQUET) == {
        *tars,
        "tokenize/export_codes/codes_table.py",
        "tokenize/export_codes/export_table.py",
    }
