"""Tokenizers of diffusers, of transformers and as TorchScript: our codes are the library's own."""

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor

from tuwen.manifests.errors import BadInput

from .comparing import SIZE, as_pictures, check_parity, opened, pictures, pixels


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
        "Apertus": {"embed_dim": 8, "codebook_size": 128, "latent_channels": 8, "resolution": 64,
                    "attn_resolutions": [32]},
    }  # fmt: skip
    small = {"base_channels": 32, "channel_multiplier": [1, 2], "num_res_blocks": 1}
    network = "Apertus1p5VisionTokenizerModel" if name == "Apertus" else f"{name}VQVAE"
    config = getattr(transformers, f"{network.removesuffix('Model')}Config")(**shapes[name], **small)
    model = getattr(transformers, network)(config).eval()
    torch.nn.init.normal_(model.quantize.embedding.weight)
    return model


@pytest.mark.parametrize("name", ["Emu3", "Janus", "Chameleon", "Apertus"])
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
    assert ours.identity.decodes == (decoded is not None)
    if decoded is None:
        with pytest.raises(BadInput, match="has no decoder"):
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
