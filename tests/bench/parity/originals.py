"""The authors' own code of tokenizers that no package carries, from folders with their repositories.

    original = ORIGINALS["titok"](folder, small=True)     # folder/bytedance+1d-tokenizer/…
    codes = original.encode(pixels)                       # as its own scripts call it

Repositories are named owner+name. Training libraries that they import, and inference does without, are stood in for by
empty modules.
"""

import contextlib
import io
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .checkpoints import File, filled, path_of, write

_SMALL_PX, _PX = 32, 256
_UNIT: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
_COGVIEW: dict[str, Any] = {"mean": (0.79093, 0.76271, 0.75340), "std": (0.30379, 0.32279, 0.32800)}
_EMU3 = (
    "codebook_size", "embed_dim", "z_channels", "double_z", "in_channels", "out_channels", "temporal_downsample_factor",
    "ch", "ch_mult", "num_res_blocks", "attn_resolutions", "dropout",
)  # fmt: skip


@dataclass
class Original:
    module: nn.Module
    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor] | None
    side_px: int
    files: dict[str, File]  # of a checkpoint as its own code writes it
    config: dict[str, Any] | None = None  # config.json beside them
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)  # of the pixels
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    def write(self, folder: Path) -> str:
        """Fill the module, and return what a recipe's `path` says of its checkpoint in `folder`."""
        self.fill()
        write(folder / "model", self.files, self.config)
        return path_of(self.files, self.config)

    def fill(self) -> None:
        """Give the module the weights that `checkpoints.write` draws for its names."""
        for number, file in enumerate(self.files.values()):
            part = list(self.module.children())[number] if len(self.files) > 1 else self.module
            drawn = filled(file)
            part.load_state_dict({name.removeprefix("module."): value for name, value in drawn.items()})


@contextlib.contextmanager
def _importing(repository: Path) -> Iterator[None]:
    """Its modules are importable inside, and forgotten after: several repositories have a package `models`."""
    lightning = types.ModuleType("lightning")
    lightning.LightningModule = nn.Module  # type: ignore[attr-defined]
    main = types.ModuleType("main")
    main.instantiate_from_config = lambda config: nn.Module()  # type: ignore[attr-defined]
    config = types.ModuleType("omegaconf")
    config.OmegaConf = types.SimpleNamespace(create=_Config.of)  # type: ignore[attr-defined]
    config.MISSING = None  # type: ignore[attr-defined]
    before = set(sys.modules)
    operations = types.ModuleType("accelerate.utils.operations")
    operations.gather = lambda tensor: tensor  # type: ignore[attr-defined]
    accelerate = {name: types.ModuleType(name) for name in ("accelerate", "accelerate.utils")}
    stand_ins = {
        **accelerate,
        operations.__name__: operations,
        "lightning": lightning,
        "pytorch_lightning": lightning,
        "main": main,
        "omegaconf": config,
    }
    sys.modules |= {name: module for name, module in stand_ins.items() if name not in sys.modules}
    sys.path.insert(0, str(repository))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        sys.path.remove(str(repository))
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if name in stand_ins or (file and str(repository) in file):
                del sys.modules[name]


def _package(repository: Path, name: str) -> None:
    """A package whose modules can be imported, and whose own `__init__` is not run."""
    package = types.ModuleType(name)
    package.__path__ = [str(repository / name.replace(".", "/"))]
    sys.modules[name] = package


class _Config(dict):  # type: ignore[type-arg]
    """A dictionary whose keys are attributes, as OmegaConf's."""

    __getattr__ = dict.__getitem__

    @classmethod
    def of(cls, value: Any) -> Any:
        return cls({name: cls.of(each) for name, each in value.items()}) if isinstance(value, dict) else value


def _file(module: nn.Module, *keys: str, prefix: str = "") -> File:
    shapes = {prefix + name: list(value.shape) for name, value in module.state_dict().items()}
    return {"keys": list(keys), "shapes": shapes}


def _vqgan_shape(small: bool, **more: Any) -> dict[str, Any]:
    shape = {"ch": 128, "ch_mult": [1, 1, 2, 2, 4], "num_res_blocks": 2, "attn_resolutions": [16], "z_channels": 256}
    if small:
        shape |= {"ch": 32, "ch_mult": [1, 2], "num_res_blocks": 1, "z_channels": 16}
    resolution = _SMALL_PX if small else _PX
    return {**shape, "double_z": False, "resolution": resolution, "in_channels": 3, "out_ch": 3, "dropout": 0.0, **more}


def taming(folder: Path, small: bool) -> Original:
    with _importing(folder / "CompVis+taming-transformers"):
        from taming.models.vqgan import VQModel  # type: ignore[import-not-found]

        shape = _vqgan_shape(small)
        model = VQModel(ddconfig=shape, lossconfig={}, n_embed=64 if small else 16384, embed_dim=shape["z_channels"])
    return _taming_like(model, "last.ckpt", small)


def _taming_like(model: Any, name: str, small: bool) -> Original:
    model.eval()

    def encode(pixels: Tensor) -> Tensor:
        quantized, _, info = model.encode(pixels)
        return info[2].view(len(pixels), *quantized.shape[2:])  # type: ignore[no-any-return]

    def decode(codes: Tensor) -> Tensor:
        entries = model.quantize.get_codebook_entry(codes.reshape(-1), (*codes.shape, model.quantize.e_dim))
        return model.decode(entries)  # type: ignore[no-any-return]

    return Original(model, encode, decode, _SMALL_PX if small else _PX, {name: _file(model, "state_dict")})


def ibq(folder: Path, small: bool) -> Original:
    with _importing(folder / "TencentARC+SEED-Voken"):
        from src.IBQ.models.ibqgan import IBQ  # type: ignore[import-not-found]

        shape = _vqgan_shape(small, **({} if small else {"num_res_blocks": 4}))
        model = IBQ(shape, {}, 64 if small else 16384, shape["z_channels"], use_ema=True)
    original = _taming_like(model, "ibq.ckpt", small)

    def averaged(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def called(tensor: Tensor) -> Tensor:
            with model.ema_scope():
                return function(tensor)

        return called

    original.encode, original.decode = averaged(original.encode), averaged(original.decode)
    return original


def open_magvit2(folder: Path, small: bool) -> Original:
    with _importing(folder / "TencentARC+SEED-Voken"):
        from src.Open_MAGVIT2.models.lfqgan import VQModel  # type: ignore[import-not-found]

        bits = 6 if small else 18
        shape = {"ch": 32, "ch_mult": [1, 2], "num_res_blocks": 2} if small else {
            "ch": 128, "ch_mult": [1, 1, 2, 2, 4], "num_res_blocks": 4}  # fmt: skip
        config = {**shape, "double_z": False, "z_channels": bits, "resolution": 128, "in_channels": 3, "out_ch": 3}
        model = VQModel(config, {}, 2**bits, bits, 1.0, 1.0, use_ema=True).eval()

    def encode(pixels: Tensor) -> Tensor:
        with model.ema_scope():
            quantized, _, indices, _ = model.encode(pixels)
        return indices.view(len(pixels), *quantized.shape[2:]).long()  # type: ignore[no-any-return]

    def decode(codes: Tensor) -> Tensor:
        flat = codes.flatten(1)
        bits_ = model.quantize.get_codebook_entry(flat, (*codes.shape, bits), "pre")
        with model.ema_scope():
            return model.decode(bits_)  # type: ignore[no-any-return]

    return Original(model, encode, decode, _SMALL_PX if small else _PX, {"magvit.ckpt": _file(model, "state_dict")})


def llamagen(folder: Path, small: bool) -> Original:
    with _importing(folder / "FoundationVision+LlamaGen"):
        from tokenizer.tokenizer_image import vq_model  # type: ignore[import-not-found]

        mult = [1, 2] if small else [1, 1, 2, 2, 4]
        arguments = vq_model.ModelArgs(
            codebook_size=64 if small else 16384,
            encoder_ch_mult=mult,
            decoder_ch_mult=mult,
            z_channels=16 if small else 256,
        )
        model = vq_model.VQModel(arguments).eval()

    def encode(pixels: Tensor) -> Tensor:
        quantized, _, info = model.encode(pixels)
        return info[2].view(len(pixels), *quantized.shape[2:])  # type: ignore[no-any-return]

    def decode(codes: Tensor) -> Tensor:
        batch, height, width = codes.shape
        return model.decode_code(codes.reshape(-1), (batch, 8, height, width))  # type: ignore[no-any-return]

    return Original(model, encode, decode, _SMALL_PX if small else _PX, {"vq_ds16.pt": _file(model, "model")})


def rqvae(folder: Path, small: bool) -> Original:
    repository = folder / "kakaobrain+rq-vae-transformer"
    with _importing(repository):
        _package(repository, "rqvae.models")  # its own also imports the transformer, which Python 3.11 refuses
        from rqvae.models.rqvae.rqvae import RQVAE  # type: ignore[import-not-found]

        shape = _vqgan_shape(small, **({} if small else {"ch_mult": [1, 1, 2, 2, 4, 4], "attn_resolutions": [8]}))
        side, dim = (16, 16) if small else (8, 256)
        model = RQVAE(
            embed_dim=dim, n_embed=64 if small else 16384, ddconfig=shape, latent_shape=[side, side, dim],
            code_shape=[side, side, 4], shared_codebook=True, restart_unused_codes=True,
        ).eval()  # fmt: skip
    files: dict[str, File] = {"rq.pt": {**_file(model, "state_dict"), "shared": r"codebooks\.\d+"}}
    return Original(model, model.get_codes, model.decode_code, _SMALL_PX if small else _PX, files)


def var(folder: Path, small: bool) -> Original:
    with _importing(folder / "FoundationVision+VAR"):
        from models.vqvae import VQVAE  # type: ignore[import-not-found]

        model = VQVAE(vocab_size=64 if small else 4096, z_channels=32, ch=32 if small else 160)

    def encode(pixels: Tensor) -> Tensor:
        return torch.cat(model.img_to_idxBl(pixels), 1)

    def decode(codes: Tensor) -> Tensor:
        rows = list(torch.split(codes, [side**2 for side in model.quantize.v_patch_nums], dim=1))
        return model.idxBl_to_img(rows, same_shape=True, last_one=True)  # type: ignore[no-any-return]

    return Original(model, encode, decode, _PX, {"vae.pth": _file(model)})


def maskgit_vqgan(folder: Path, small: bool) -> Original:
    repository = folder / "bytedance+1d-tokenizer"
    with _importing(repository):
        _package(repository, "modeling.modules")  # its own also imports the losses, which need torchvision
        from modeling.modules import maskgit_vqgan as original  # type: ignore[import-not-found]

        config = _Config.of({
            "channel_mult": [1, 2] if small else [1, 1, 2, 2, 4], "num_resolutions": 2 if small else 5, "dropout": 0.0,
            "hidden_channels": 32 if small else 128, "num_channels": 3, "num_res_blocks": 1 if small else 2,
            "resolution": 256, "z_channels": 16 if small else 256,
        })  # fmt: skip
        model = nn.Module()
        model.encoder, model.decoder = original.Encoder(config), original.Decoder(config)
        model.quantize = original.VectorQuantizer(64 if small else 1024, config.z_channels, 0.25)
        model.eval()

    def encode(pixels: Tensor) -> Tensor:
        hidden = model.encoder(pixels)
        return model.quantize(hidden)[1].view(len(pixels), *hidden.shape[2:])  # type: ignore[no-any-return]

    def decode(codes: Tensor) -> Tensor:
        return model.decoder(model.quantize.get_codebook_entry(codes)).clamp(0, 1)  # type: ignore[no-any-return]

    return Original(model, encode, decode, _SMALL_PX if small else _PX, {"maskgit.bin": _file(model)}, **_UNIT)


def titok(folder: Path, small: bool, is_legacy: bool = True) -> Original:
    repository = folder / "bytedance+1d-tokenizer"
    with _importing(repository):
        _package(repository, "modeling.modules")  # its own also imports the losses, which need torchvision
        from modeling import titok as original
        from modeling.modules import blocks

        vq = {
            "codebook_size": 64 if small else 4096, "token_size": 12, "use_l2_norm": is_legacy, "commitment_cost": 0.0,
            "vit_enc_model_size": "small", "vit_dec_model_size": "small", "vit_enc_patch_size": 16,
            "vit_dec_patch_size": 16, "num_latent_tokens": 32 if small else 128, "finetune_decoder": is_legacy,
            "is_legacy": is_legacy,
        }  # fmt: skip
        document = {"model": {"vq_model": vq}, "dataset": {"preprocessing": {"crop_size": _PX}}}
        model = original.TiTok(document).eval()
        if small:  # one layer of each half is as good a test as eight
            for half in (model.encoder, model.decoder):
                assert isinstance(half, blocks.TiTokEncoder | blocks.TiTokDecoder)
                half.transformer, half.num_layers = half.transformer[:1], 1

    def encode(pixels: Tensor) -> Tensor:
        return model.encode(pixels)[1]["min_encoding_indices"][:, 0]  # type: ignore[no-any-return]

    def decode(codes: Tensor) -> Tensor:
        return model.decode_tokens(codes[:, None]).clamp(0, 1)  # type: ignore[no-any-return]

    files = {"model.safetensors": _file(model)}
    return Original(model, encode, decode, _PX, files, document, **_UNIT)


def titok_pixels(folder: Path, small: bool) -> Original:
    return titok(folder, small, is_legacy=False)


def dvae(folder: Path, small: bool) -> Original:
    with _importing(folder / "openai+DALL-E"):
        from dall_e import Decoder, Encoder, map_pixels, unmap_pixels  # type: ignore[import-not-found]

        shape = {"n_hid": 64, "n_blk_per_group": 1, "vocab_size": 512} if small else {}
        encoder, decoder = Encoder(**shape), Decoder(**shape)
    model = nn.ModuleDict({"encoder": encoder, "decoder": decoder}).eval()

    def encode(pixels: Tensor) -> Tensor:
        return encoder(map_pixels(pixels)).argmax(1)  # type: ignore[no-any-return]

    def decode(codes: Tensor) -> Tensor:
        one_hot = nn.functional.one_hot(codes, encoder.vocab_size).permute(0, 3, 1, 2).float()
        return unmap_pixels(torch.sigmoid(decoder(one_hot)[:, :3]))  # type: ignore[no-any-return]

    files = {"encoder.pt": _file(encoder), "decoder.pt": _file(decoder)}
    return Original(model, encode, decode, _SMALL_PX if small else _PX, files, **_UNIT)


def cogview(folder: Path, small: bool) -> Original:
    with _importing(folder / "THUDM+CogView"):
        from vqvae.vqvae_zc import VQVAE  # type: ignore[import-not-found]

        model = VQVAE(
            channel=32 if small else 512, n_res_block=0, n_res_channel=32, embed_dim=16 if small else 256,
            n_embed=64 if small else 8192, stride=6,
        ).eval()  # fmt: skip

    def encode(pixels: Tensor) -> Tensor:
        return model.encode(pixels)[2]  # type: ignore[no-any-return]

    def decode(codes: Tensor) -> Tensor:
        return model.dec(model.quantize_t.embed_code(codes).permute(0, 3, 1, 2))  # type: ignore[no-any-return]

    files: dict[str, File] = {"vqvae.pt": {**_file(model, prefix="module."), "entries_std": 0.3}}
    return Original(model, encode, decode, _SMALL_PX if small else _PX, files, **_COGVIEW)


def emu3(folder: Path, small: bool) -> Original:
    with _importing(folder / "baaivision+Emu3"):
        from emu3.tokenizer.configuration_emu3visionvq import Emu3VisionVQConfig  # type: ignore[import-not-found]
        from emu3.tokenizer.modeling_emu3visionvq import Emu3VisionVQModel  # type: ignore[import-not-found]

        shape = {"ch": 32, "ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": [1], "codebook_size": 64}
        config = Emu3VisionVQConfig(**(shape if small else {}))
        model = Emu3VisionVQModel(config).eval()

    files: dict[str, File] = {"model.safetensors": {**_file(model), "entries_std": 0.1}}
    document = {name: getattr(config, name) for name in ("model_type", *_EMU3)}
    return Original(model, model.encode, model.decode, _SMALL_PX if small else _PX, files, document)


ORIGINALS: dict[str, Callable[[Path, bool], Original]] = {
    "taming": taming,
    "llamagen": llamagen,
    "ibq": ibq,
    "open-magvit2": open_magvit2,
    "rqvae": rqvae,
    "var": var,
    "maskgit-vqgan": maskgit_vqgan,
    "titok": titok,
    "titok, pixels": titok_pixels,
    "dvae": dvae,
    "cogview": cogview,
    "transformers, BAAI's Emu3": emu3,
}
