"""What a folder or a checkpoint holds, told by its names, where a recipe calls it by another kind.

    seen(Path("vq_ds16_c2i.pt"))         # Seen("a checkpoint of LlamaGen", kind="llamagen")
    seen(Path("models/qwen"))            # Seen("a model `qwen2`, which holds no image tokenizer", kind=None)

Nothing but names is read of safetensors; a file of torch is read by `weights_only=True`.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ...manifests.errors import BadInput
from .checkpoint import read_tensors, weight_files


@dataclass(frozen=True)
class Seen:
    what: str
    kind: str | None = None  # of the recipe; None: no kind reads it


# A name that only tensors of this kind have, what holds it, and the kind. The first that fits counts.
_SIGNS = (
    (r"(gen_vision_model\.)?decoder\.conv_blocks\.", "a checkpoint of LlamaGen", "llamagen"),
    (r"(module\.)?enc_b\.blocks\.", "CogView's VQ-VAE", "cogview"),
    (r"latent_tokens$", "a TiTok", "titok"),
    (r"quantizer\.codebooks\.", "an RQ-VAE", "rqvae"),
    (r"decoder\.adaptive\.", "an Open-MAGVIT2", "open-magvit2"),
    (r"quantize\.quant_resi\.", "VAR's VQ-VAE", "var"),
    (r"blocks\.group_1\.block_1\.res_path\.", "one half of DALL-E's dVAE: name the folder of both", "dvae"),
    (r"encoder\.time_conv\.", "Emu3's tokenizer: name the folder with its config.json", "transformers"),
    (r"encoder\.down_blocks\.", "a VQModel of diffusers: name the folder with its config.json", "diffusers"),
    (r"model_ema\.encoderconv_in", "an IBQ", "ibq"),
    (r"encoder\.mid\.block_1\.", "a VQGAN of taming-transformers, or an IBQ", "taming"),
    (r"encoder\.mid\.0\.norm1\.", "MaskGIT's VQGAN", "maskgit-vqgan"),
    (r".*\.(self_attn|attention|attn)\..*", "a transformer, and no image tokenizer", None),
)
_OF_MODEL_TYPE = re.compile(r"emu3|emu3_vqgan|Emu3VisionVQ|janus|janus_vqgan|chameleon|chameleon_vqgan|apertus1p5.*")


def seen(path: Path) -> Seen | None:
    """Return what lies at `path`, or None when its names say nothing."""
    by_folder = _of_folder(path) if path.is_dir() else None
    return by_folder or _of_tensors(path)


def _of_folder(path: Path) -> Seen | None:
    if (path / "model_index.json").is_file():
        name = _document(path / "model_index.json").get("_class_name", "diffusers")
        parts = [part for part in ("vqvae", "movq", "vae") if _class_name(path / part) == "VQModel"]
        return Seen(f"the pipeline {name}", "diffusers" if parts else None)
    if _class_name(path) == "VQModel":
        return Seen("a VQModel of diffusers", "diffusers")
    if _class_name(path):
        return Seen(f"the model {_class_name(path)} of diffusers, which is no VQModel")
    config = _document(path / "config.json")
    model_type = config.get("model_type")
    if model_type:
        is_known = _OF_MODEL_TYPE.fullmatch(str(model_type))
        what = "" if is_known else ", which holds no image tokenizer that is known here"
        return Seen(f"a model `{model_type}`{what}", "transformers" if is_known else None)
    if "vq_model" in config.get("model", {}):
        return Seen("a TiTok", "titok")
    if (path / "encoder.jit").is_file():
        return Seen("a pair of TorchScript files", "torchscript")
    if any((path / f"encoder{suffix}").is_file() for suffix in (".pkl", ".safetensors")):
        return Seen("an encoder and a decoder", "dvae")
    return None


def _of_tensors(path: Path) -> Seen | None:
    try:
        names = list(_names(path))
    except BadInput:
        return None
    for sign, what, kind in _SIGNS:
        if any(re.match(sign, name) for name in names):
            return Seen(what, kind)
    return None


def _names(path: Path) -> Iterable[str]:
    for file in weight_files(path):
        if file.suffix == ".safetensors":
            try:
                with safe_open(file, "pt") as opened:
                    yield from opened.keys()
            except (OSError, SafetensorError):
                return
        else:
            yield from read_tensors(file, "state_dict", "model", "ema", "module", "vae")


def _class_name(folder: Path) -> str:
    return str(_document(folder / "config.json").get("_class_name", ""))


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
