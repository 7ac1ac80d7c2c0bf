"""Our codes are those of the authors' own code, from checkpoints under the names that it writes.

`originals.json` has names and shapes of each checkpoint, and the codes that the original code gave for it; `python
tests/bench/bench_parity.py REPOSITORIES --goldens tests/tokenize/pretrained/originals.json` writes it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ...bench.parity.checkpoints import path_of, write
from ...bench.parity.pictures import golden_pictures
from .comparing import opened

ORIGINALS: dict[str, Any] = json.loads((Path(__file__).parent / "originals.json").read_bytes())


@pytest.mark.parametrize("name", ORIGINALS)
def test_codes_and_pictures_are_those_of_the_original_code(tmp_path: Path, name: str) -> None:
    original = ORIGINALS[name]
    write(tmp_path / "model", original["files"], original["config"])
    asked = {"kind": name.split(",")[0], "path": path_of(original["files"], original["config"]), "batch": 2}
    ours = opened(tmp_path, **asked, size=original["side_px"])
    pictures = golden_pictures(2, original["side_px"])
    codes = np.array(original["codes"])
    assert len(np.unique(codes)) > 5, "codes that are all alike show nothing"
    encoded = ours.encode(pictures)
    assert encoded.shape == codes.shape == (2, *ours.identity.shape)
    assert (encoded == codes).all()
    assert (ours.encode(pictures[1:]) == codes[1:]).all()
    step = original["side_px"] // 8
    difference = np.abs(ours.decode(codes)[:, ::step, ::step].astype(int) - np.array(original["decoded"]))
    assert difference.max() <= 1


def test_multi_scale_codes_name_their_scales_and_residual_ones_their_codebooks(tmp_path: Path) -> None:
    for name in ("var", "rqvae"):
        write(tmp_path / "model", ORIGINALS[name]["files"])
    var = opened(tmp_path, kind="var", path="model/vae.pth", size=256, batch=1).identity
    assert sum(side**2 for side in var.scales) == var.grid[0] == 680
    larger = opened(tmp_path, kind="var", path="model/vae.pth", size=512, batch=1).identity
    assert sum(side**2 for side in larger.scales) == larger.grid[0] == 2240
    rqvae = opened(tmp_path, kind="rqvae", path="model/rq.pt", size=32).identity
    assert (rqvae.grid, rqvae.codebooks, rqvae.shape) == ((16, 16), 4, (16, 16, 4))
    assert rqvae.document()["codebooks"] == 4


def test_a_gumbel_vqgan_gives_its_likeliest_codes(tmp_path: Path) -> None:
    """The original draws at random; the codes here are the argmax of its logits, which are those of its projection."""
    files = json.loads(json.dumps(ORIGINALS["taming"]["files"]))
    shapes = files["last.ckpt"]["shapes"]
    entries, dim = shapes.pop("quantize.embedding.weight")
    shapes |= {"quantize.embed.weight": [entries, dim], "quantize.proj.weight": [entries, dim, 1, 1],
               "quantize.proj.bias": [entries]}  # fmt: skip
    write(tmp_path / "model", files)
    gumbel = opened(tmp_path, kind="taming", path="model/last.ckpt", size=32, batch=2)
    pictures = golden_pictures(2, 32)
    codes = gumbel.encode(pictures)
    assert (codes == gumbel.encode(pictures)).all()
    assert len(np.unique(codes)) > 5
    assert codes.max() < entries
    assert gumbel.decode(codes).shape == pictures.shape


def test_an_average_of_weights_takes_the_place_of_the_weights(tmp_path: Path) -> None:
    """IBQ's codes are those of `model_ema.`: without it, the same checkpoint gives others."""
    original = ORIGINALS["ibq"]
    write(tmp_path / "model", original["files"])
    file = tmp_path / "model" / "ibq.ckpt"
    state = torch.load(file)["state_dict"]
    torch.save({"state_dict": {n: t for n, t in state.items() if not n.startswith("model_ema.")}}, file)
    plain = opened(tmp_path, kind="ibq", path="model/ibq.ckpt", size=32, batch=2).encode(golden_pictures(2, 32))
    assert (plain != np.array(original["codes"])).mean() > 0.3
