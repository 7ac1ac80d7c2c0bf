"""Pretrained tokenizers by the contract: identity, precision, device, and classes of the user's own."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.recipe.tokenizing import ImageTokenizer
from tuwen.tokenize.open_image_codes import open_image_codes
from tuwen.tokenize.pretrained.pretrained_codes import ADAPTERS

from ...bench.parity.checkpoints import write
from ...bench.parity.pictures import golden_pictures
from .comparing import SIZE, check_parity, opened, pixels
from .test_originals import ORIGINALS

ASKED: dict[str, Any] = {"kind": "cogview", "path": "model/vqvae.pt", "size": 64}


@pytest.fixture
def cogview(tmp_path: Path) -> Path:
    write(tmp_path / "model", ORIGINALS["cogview"]["files"])
    return tmp_path


def test_equal_models_have_equal_identities_and_whatever_changes_codes_changes_it(cogview: Path) -> None:
    first = opened(cogview, **ASKED).identity
    assert opened(cogview, **ASKED).identity == first
    for more in ({"resize": "lanczos"}, {"batch": 8}, {"precision": "bfloat16"}, {"channels_last": True},
                 {"license": "MIT"}, {"size": 32}):  # fmt: skip
        assert opened(cogview, **{**ASKED, **more}).identity != first
    state = torch.load(cogview / "model/vqvae.pt")
    state["module.enc_b.blocks.0.bias"][0] += 1e-3
    torch.save(state, cogview / "model/vqvae.pt")
    assert opened(cogview, **ASKED).identity.sha256 != first.sha256


def test_the_identity_names_all_that_codes_depend_on(cogview: Path) -> None:
    document = opened(
        cogview, **ASKED, license="Apache-2.0", precision="bfloat16", channels_last=True
    ).identity.document()
    assert document["kind"] == "cogview"
    assert document["license"] == "Apache-2.0"
    assert document["compute_dtype"] == "bfloat16"
    assert document["options"] == ["channels_last"]
    assert document["device"] == "cpu"
    assert document["library"].startswith("torch 2.")
    assert document["resize"] == "bilinear"
    assert document["normalisation"] == ["0.79093", "0.76271", "0.7534", "0.30379", "0.32279", "0.328"]
    config = (cogview / "tokenizer" / "config.json").read_text(encoding="utf-8")
    assert '"files":{"vqvae.pt":"sha256:' in config


def test_bfloat16_changes_some_codes_and_most_stay(cogview: Path) -> None:
    pictures = golden_pictures(4, SIZE)
    exact = opened(cogview, **ASKED).encode(pictures)
    for precision in ("bfloat16", "float16"):
        same = (opened(cogview, **ASKED, precision=precision).encode(pictures) == exact).mean()
        assert same > 0.8
    assert (opened(cogview, **ASKED, channels_last=True).encode(pictures) == exact).mean() > 0.99


def test_a_compiled_network_is_compiled_once_and_says_so(cogview: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function: compiled.append(function) or function)
    ours = opened(cogview, **ASKED, compile=True)
    ours.encode(golden_pictures(3, SIZE))
    assert len(compiled) == 1
    assert ours.identity.options == ("compile",)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_cuda_is_refused_with_the_cure(cogview: Path) -> None:
    opened(cogview, **ASKED)
    with pytest.raises(BadInput, match=r"no GPU is seen here; encode with `tokenize\.job\.gpus: 0`"):
        open_image_codes(cogview / "tokenizer", "cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_gives_nearly_the_codes_of_the_cpu_and_says_that_it_made_them(cogview: Path) -> None:
    on_cpu = opened(cogview, **ASKED)
    on_gpu = open_image_codes(cogview / "tokenizer", "cuda")
    assert on_gpu.identity.device == "cuda"
    assert (on_gpu.encode(golden_pictures(16, SIZE)) == on_cpu.encode(golden_pictures(16, SIZE))).mean() > 0.99


def test_a_size_that_the_model_cannot_divide_is_refused(cogview: Path) -> None:
    with pytest.raises(BadInput, match="65 px become codes of"):
        opened(cogview, **{**ASKED, "size": 65})


def test_each_kind_is_cropped_with_the_filter_of_its_training_unless_the_recipe_says_another() -> None:
    more = {"path": "x", "size": 256, "codebook": 8, "python": "a:B"}
    filters = {kind: ImageTokenizer.model_validate({"kind": kind, **more}).resampling for kind in ADAPTERS}
    assert (filters["llamagen"], filters["taming"], filters["titok"]) == ("adm", "bilinear-aliased", "bicubic")
    asked = ImageTokenizer.model_validate({"kind": "llamagen", "resize": "lanczos", **more})
    assert asked.resampling == "lanczos"


def test_the_kinds_of_a_recipe_are_those_that_there_are_adapters_for() -> None:
    kinds = ImageTokenizer.model_fields["kind"].annotation
    assert set(kinds.__args__) == {"compact", *ADAPTERS}  # type: ignore[union-attr]


def test_a_class_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    ours = opened(tmp_path, kind="python", python="my_vq:GreyPatches")
    codes = (pixels(0).mean(1).unfold(1, 16, 16).unfold(2, 16, 16).mean((-1, -2)) * 255).round().long()
    check_parity(ours, codes, None)
    assert ours.identity.grid == (4, 4)
    assert ours.decode(codes.numpy()).shape == (5, SIZE, SIZE, 3)


def test_the_example_of_the_readme_is_a_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = Path(__file__).parents[3] / "tokenize" / "pretrained" / "README.md"
    example = readme.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    assert len(example.splitlines()) <= 20
    (tmp_path / "colours_of_mine.py").write_text(example, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    ours = opened(tmp_path, kind="python", python="colours_of_mine:MeanColours")
    pictures = golden_pictures(2, SIZE)
    assert ours.identity.shape == (16, 3)
    assert abs(ours.decode(ours.encode(pictures)).astype(int).mean() - pictures.mean()) < 3
    with (tmp_path / "colours_of_mine.py").open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    with pytest.raises(CheckFailed, match="its source has changed"):
        open_image_codes(tmp_path / "tokenizer")
