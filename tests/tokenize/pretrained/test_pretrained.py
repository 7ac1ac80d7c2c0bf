"""Other people's tokenizers: our codes are those of the library, and checkpoints are read without running code."""

import pickle
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor

from tuwen.manifests.errors import BadInput
from tuwen.manifests.recipe.tokenizing import ImageTokenizer
from tuwen.manifests.run_folders import ImageTokenizerFolder
from tuwen.tokenize.image_codes import ImageCodes
from tuwen.tokenize.open_image_codes import open_image_codes
from tuwen.tokenize.pretrained.convert import convert

SIZE = 64


def opened(tmp_path: Path, **asked: Any) -> ImageCodes:
    folder = ImageTokenizerFolder(tmp_path / "tokenizer")
    convert(ImageTokenizer(size=SIZE, **asked), tmp_path, folder)
    return open_image_codes(folder.path)


def pictures(count: int = 5) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def pixels(low: float = -1.0, count: int = 5) -> Tensor:
    """The same pictures as the library takes them: `low` … 1."""
    unit = torch.from_numpy(pictures(count)).permute(0, 3, 1, 2).float() / 255
    return (unit - 0.5) / 0.5 if low else unit


def as_pictures(decoded: Tensor, low: float = -1.0) -> np.ndarray[Any, Any]:
    unit = decoded / 2 + 0.5 if low else decoded
    return (unit.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def check_parity(ours: ImageCodes, codes: Tensor, decoded: np.ndarray[Any, Any] | None) -> None:
    """All codes equal, and batch 1 beside batch 16; decoded pixels differ by rounding alone."""
    encoded = ours.encode(pictures())
    assert (encoded == codes.numpy()).all()
    assert len(np.unique(encoded)) > 1, "one code for everything shows nothing"
    assert (np.concatenate([ours.encode(each[None]) for each in pictures()]) == encoded).all()
    if decoded is not None:
        difference = np.abs(ours.decode(encoded).astype(int) - decoded.astype(int))
        assert difference.max() <= 1
        assert (difference == 0).mean() > 0.99


def diffusers_model(lookup: bool) -> Any:
    torch.manual_seed(0)
    config = {
        "down_block_types": ["DownEncoderBlock2D", "AttnDownEncoderBlock2D"], "block_out_channels": [32, 64],
        "up_block_types": ["AttnUpDecoderBlock2D", "UpDecoderBlock2D"], "layers_per_block": 1, "latent_channels": 8,
        "num_vq_embeddings": 128, "norm_num_groups": 8, "lookup_from_codebook": lookup,
    }  # fmt: skip
    model = diffusers.VQModel(**config).eval()
    torch.nn.init.normal_(model.quantize.embedding.weight)
    return model


@pytest.mark.parametrize("lookup", [False, True])
def test_diffusers(tmp_path: Path, lookup: bool) -> None:
    model = diffusers_model(lookup)
    model.save_pretrained(tmp_path / "model" / "vqvae")
    low = 0.0 if lookup else -1.0
    with torch.no_grad():
        latents = model.encode(pixels(low)).latents
        codes = model.quantize(latents)[2][2].view(5, *latents.shape[2:])
        shape = (*codes.shape, 8)
        if lookup:
            decoded = model.decode(codes, force_not_quantize=True, shape=shape).sample
        else:
            entries = model.quantize.get_codebook_entry(codes.reshape(-1), shape)
            decoded = model.decode(entries, force_not_quantize=True).sample
    ours = opened(tmp_path, kind="diffusers", path="model")
    check_parity(ours, codes, as_pictures(decoded, low))
    assert (ours.identity.codebook, ours.identity.grid, ours.identity.kind) == (128, (32, 32), "diffusers")


def transformers_model(name: str) -> Any:
    torch.manual_seed(0)
    shapes = {
        "Emu3": {"codebook_size": 128, "embed_dim": 4, "latent_channels": 4, "attn_resolutions": [], "hidden_size": 64},
        "Janus": {"embed_dim": 8, "num_embeddings": 128, "latent_channels": 8, "num_patches": 32},
        "Chameleon": {"embed_dim": 8, "num_embeddings": 128, "latent_channels": 8, "resolution": 64,
                      "attn_resolutions": []},
    }  # fmt: skip
    small = {"base_channels": 32, "channel_multiplier": [1, 2], "num_res_blocks": 1}
    config = getattr(transformers, f"{name}VQVAEConfig")(**shapes[name], **small)
    model = getattr(transformers, f"{name}VQVAE")(config).eval()
    torch.nn.init.normal_(model.quantize.embedding.weight)
    return model


@pytest.mark.parametrize("name", ["Emu3", "Janus", "Chameleon"])
def test_transformers(tmp_path: Path, name: str) -> None:
    model = transformers_model(name)
    model.save_pretrained(tmp_path / "model")
    with torch.no_grad():
        if name == "Emu3":
            codes = torch.stack(model.encode(pixels(), image_sizes=torch.tensor([[SIZE, SIZE]] * 5)).image_tokens)
            decoded = model.decode(codes)
        else:
            codes = model.encode(pixels()).image_tokens.view(5, 32, 32)
            decoded = model.decode(codes.flatten(1)) if name == "Janus" else None
    ours = opened(tmp_path, kind="transformers", path="model")
    check_parity(ours, codes, None if decoded is None else as_pictures(decoded))
    if name == "Chameleon":
        with pytest.raises(BadInput, match="has no decoder in transformers"):
            ours.decode(ours.encode(pictures()))


def test_a_tokenizer_inside_a_whole_model_is_taken_by_its_prefix_and_must_be_whole(tmp_path: Path) -> None:
    model = transformers_model("Janus")
    folder = tmp_path / "model"
    folder.mkdir()
    whole = {f"model.vqmodel.{name}": value.clone() for name, value in model.state_dict().items()}
    save_file({**whole, "model.language_model.x": torch.zeros(1)}, folder / "model.safetensors")
    transformers.JanusConfig(vq_config=model.config).save_pretrained(folder)
    with torch.no_grad():
        codes = model.encode(pixels()).image_tokens.view(5, 32, 32)
    check_parity(opened(tmp_path, kind="transformers", path="model"), codes, None)
    whole.popitem()
    save_file(whole, folder / "model.safetensors")
    with pytest.raises(BadInput, match=r"the JanusVQVAE: lacks .* \(1 in all\)"):
        opened(tmp_path, kind="transformers", path="model")


def taming_state(model: Any) -> dict[str, Tensor]:
    """The state dict of a diffusers VQModel under the names of taming-transformers, as its own code writes them."""
    levels = len(model.config.block_out_channels)
    state = {}
    for full, tensor in model.state_dict().items():
        value, name = tensor, full
        for level in range(levels):
            name = name.replace(f"up_blocks.{level}.", f"up.{levels - 1 - level}.").replace(
                f"down_blocks.{level}.", f"down.{level}."
            )
        name = name.replace("mid_block.resnets.0", "mid.block_1").replace("mid_block.resnets.1", "mid.block_2")
        name = (
            name.replace("mid_block.attentions.0", "mid.attn_1")
            .replace("resnets", "block")
            .replace("attentions", "attn")
        )
        name = name.replace("downsamplers.0", "downsample").replace("upsamplers.0", "upsample")
        name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        if "attn" in name:
            name = name.replace("group_norm", "norm").replace("to_out.0", "proj_out")
            name = name.replace("to_q", "q").replace("to_k", "k").replace("to_v", "v")
            value = tensor[:, :, None, None] if tensor.ndim == 2 else tensor
        state[name] = value.clone()
    return state


def llamagen_state(taming: dict[str, Tensor], levels: int) -> dict[str, Tensor]:
    state = {}
    for full, value in taming.items():
        name = full
        for level in range(levels):
            name = name.replace(f"encoder.down.{level}.block.", f"encoder.conv_blocks.{level}.res.")
            name = name.replace(f"encoder.down.{level}.", f"encoder.conv_blocks.{level}.")
            name = name.replace(f"decoder.up.{level}.block.", f"decoder.conv_blocks.{levels - 1 - level}.res.")
            name = name.replace(f"decoder.up.{level}.", f"decoder.conv_blocks.{levels - 1 - level}.")
        for number, block in enumerate(("block_1", "attn_1", "block_2")):
            name = name.replace(f"mid.{block}.", f"mid.{number}.")
        state[name] = value
    return state


def vqgan_model() -> Any:
    torch.manual_seed(0)
    model = diffusers.VQModel(
        down_block_types=["DownEncoderBlock2D", "AttnDownEncoderBlock2D"],
        up_block_types=["AttnUpDecoderBlock2D", "UpDecoderBlock2D"],
        block_out_channels=[32, 64], layers_per_block=1, latent_channels=8, num_vq_embeddings=128,
    ).eval()  # fmt: skip
    torch.nn.init.normal_(model.quantize.embedding.weight)
    return model


def test_taming(tmp_path: Path) -> None:
    model = vqgan_model()
    state = taming_state(model) | {"loss.discriminator.weight": torch.zeros(3)}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "last.ckpt")
    with torch.no_grad():
        latents = model.encode(pixels()).latents
        codes = model.quantize(latents)[2][2].view(5, 32, 32)
        decoded = model.decode(
            model.quantize.get_codebook_entry(codes.reshape(-1), (5, 32, 32, 8)), force_not_quantize=True
        ).sample
    check_parity(opened(tmp_path, kind="taming", path="last.ckpt"), codes, as_pictures(decoded))


def test_llamagen_normalises_latents_and_entries(tmp_path: Path) -> None:
    model = vqgan_model()
    torch.save(
        {"model": llamagen_state(taming_state(model), 2) | {"quantize.codebook_used": torch.zeros(9)}},
        tmp_path / "vq.pt",
    )
    with torch.no_grad():
        latents = torch.nn.functional.normalize(model.encode(pixels()).latents, dim=1)  # (B, D, h, w)
        entries = torch.nn.functional.normalize(model.quantize.embedding.weight, dim=1)
        codes = torch.einsum("bdhw,kd->bhwk", latents, entries).argmax(-1)
        decoded = model.decode(entries[codes].permute(0, 3, 1, 2), force_not_quantize=True).sample
    check_parity(opened(tmp_path, kind="llamagen", path="vq.pt"), codes, as_pictures(decoded))


def test_torchscript_gives_its_codes_first_of_several_results(tmp_path: Path) -> None:
    class Encoder(torch.nn.Module):
        def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
            grey = torch.nn.functional.avg_pool2d(pixels.mean(1, keepdim=True), 8)[:, 0]
            return ((grey + 1) * 31.9).to(torch.int32), grey

    class Decoder(torch.nn.Module):
        def forward(self, codes: Tensor) -> Tensor:
            grey = codes.float() / 31.9 - 1
            return torch.nn.functional.interpolate(grey[:, None].repeat(1, 3, 1, 1), scale_factor=8.0)

    (tmp_path / "model").mkdir()
    encoder, decoder = torch.jit.script(Encoder()), torch.jit.script(Decoder())
    encoder.save(str(tmp_path / "model" / "encoder.jit"))
    decoder.save(str(tmp_path / "model" / "decoder.jit"))
    codes = encoder(pixels())[0].long()
    ours = opened(tmp_path, kind="torchscript", path="model", codebook=64)
    check_parity(ours, codes, as_pictures(decoder(codes)))


def test_cogview(tmp_path: Path) -> None:
    """The network as the original states it: three strided convolutions, Euclidean distances."""
    torch.manual_seed(0)
    nn = torch.nn
    encoder = nn.Sequential(
        nn.Conv2d(3, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 32, 4, 2, 1), nn.ReLU(),
        nn.Conv2d(32, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 16, 1),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.ConvTranspose2d(16, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 32, 4, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(32, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 3, 1),
    )  # fmt: skip
    embed = torch.randn(16, 128) * 0.1
    state = {f"module.enc_b.blocks.{name}": value for name, value in encoder.state_dict().items()}
    state |= {f"module.dec.blocks.{name}": value for name, value in decoder.state_dict().items()}
    state |= {"module.quantize_t.embed": embed, "module.quantize_t.cluster_size": torch.zeros(128)}
    torch.save(state, tmp_path / "vqvae.pt")
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([0.79093, 0.76271, 0.75340], [0.30379, 0.32279, 0.32800]))
    with torch.no_grad():
        latents = encoder((pixels(0) - mean) / std).permute(0, 2, 3, 1)
        codes = torch.cdist(latents.reshape(1, -1, 16).double(), embed.T[None].double())[0].argmin(1).view(5, 8, 8)
        decoded = decoder(embed.T[codes].permute(0, 3, 1, 2)) * std + mean
    check_parity(opened(tmp_path, kind="cogview", path="vqvae.pt"), codes, as_pictures(decoded, 0))


def test_a_class_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    ours = opened(tmp_path, kind="python", python="my_vq:GreyPatches")
    codes = (pixels(0).mean(1).unfold(1, 16, 16).unfold(2, 16, 16).mean((-1, -2)) * 255).round().long()
    check_parity(ours, codes, None)
    assert ours.identity.grid == (4, 4)
    assert ours.decode(codes.numpy()).shape == (5, SIZE, SIZE, 3)


class Payload:
    """A pickle that makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


def test_a_checkpoint_that_holds_more_than_tensors_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    torch.save({"state_dict": {"x": torch.zeros(1)}, "callbacks": Payload(tmp_path / "made")}, tmp_path / "bad.ckpt")
    with pytest.raises(BadInput, match=r"holds more than tensors \(.*open\), which could run code"):
        opened(tmp_path, kind="taming", path="bad.ckpt")
    assert not (tmp_path / "made").exists()
    (tmp_path / "old.pt").write_bytes(pickle.dumps(Payload(tmp_path / "made")))
    with pytest.raises(BadInput):
        opened(tmp_path, kind="llamagen", path="old.pt")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        ({"kind": "diffusers", "path": "nowhere"}, "nowhere does not exist"),
        ({"kind": "diffusers", "path": "empty"}, "has no config.json; it has readme.md"),
        ({"kind": "diffusers", "path": "unet"}, "holds UNet2DModel, not a VQModel"),
        ({"kind": "transformers", "path": "bert"}, "holds a `bert`"),
        ({"kind": "torchscript", "path": "empty", "codebook": 8}, "has no encoder.jit"),
        ({"kind": "python", "python": "no_such_module:X"}, "no_such_module"),
        ({"kind": "python", "python": "pathlib:Path"}, "has no codebook, encode, decode"),
    ],
)
def test_a_wrong_model_is_told_what_it_holds(tmp_path: Path, asked: dict[str, Any], refusal: str) -> None:
    for name, config in {
        "empty": None,
        "unet": '{"_class_name": "UNet2DModel"}',
        "bert": '{"model_type": "bert"}',
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "readme.md").write_text("x")
        if config:
            (tmp_path / name / "config.json").write_text(config)
    with pytest.raises(BadInput, match=refusal) as raised:
        opened(tmp_path, **asked)
    assert "\n" not in str(raised.value)


def test_a_size_that_the_model_cannot_divide_is_refused(tmp_path: Path) -> None:
    diffusers_model(False).save_pretrained(tmp_path / "model")
    folder = ImageTokenizerFolder(tmp_path / "tokenizer")
    with pytest.raises(BadInput, match="65 px become codes of"):
        convert(ImageTokenizer(kind="diffusers", path="model", size=65), tmp_path, folder)


def test_equal_models_have_equal_identities_and_others_do_not(tmp_path: Path) -> None:
    model = diffusers_model(False)
    model.save_pretrained(tmp_path / "model")
    first = opened(tmp_path, kind="diffusers", path="model").identity
    assert opened(tmp_path, kind="diffusers", path="model").identity == first
    assert opened(tmp_path, kind="diffusers", path="model", resize="lanczos").identity != first
    with torch.no_grad():
        model.encoder.conv_in.bias[0] += 1e-3
    model.save_pretrained(tmp_path / "model")
    assert opened(tmp_path, kind="diffusers", path="model").identity.sha256 != first.sha256
