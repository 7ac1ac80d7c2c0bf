"""A Chinese CLIP for tests: the real model and processor classes, small, with weights from a fixed seed."""

from collections.abc import Iterable
from pathlib import Path


def save_chinese_clip(folder: Path, captions: Iterable[str]) -> Path:
    """Write one that knows the characters of `captions` into `folder`, and return that."""
    import torch
    from transformers import BertTokenizerFast, ChineseCLIPConfig, ChineseCLIPModel, ChineseCLIPProcessor
    from transformers.models.chinese_clip.image_processing_pil_chinese_clip import ChineseCLIPImageProcessorPil

    folder.mkdir(exist_ok=True)
    characters = sorted(set("".join(captions)))
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters]))
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = ChineseCLIPConfig(
        text_config={**small, "vocab_size": 5 + len(characters)},
        vision_config={**small, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    torch.manual_seed(0)
    ChineseCLIPModel(config).eval().save_pretrained(folder)
    size = {"height": 32, "width": 32}
    ChineseCLIPProcessor(
        ChineseCLIPImageProcessorPil(size=size, crop_size=size), BertTokenizerFast(str(folder / "vocab.txt"))
    ).save_pretrained(folder)
    return folder
