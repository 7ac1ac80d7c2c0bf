"""Checkpoints are read without running what is in them; a converter takes their tensors; wrong ones are told apart."""

import argparse
import contextlib
import json
import pickle
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from typer.testing import CliRunner

from tuwen.__main__ import app
from tuwen.manifests.errors import BadInput
from tuwen.tokenize.pretrained.convert_checkpoint import convert_checkpoint
from tuwen.tokenize.pretrained.inert_pickle import Inert, read_inert
from tuwen.tokenize.pretrained.seen import seen

from ...bench.parity.checkpoints import filled, path_of, write
from ...bench.parity.pictures import golden_pictures
from .comparing import opened
from .test_originals import ORIGINALS


class Payload:
    """A pickle that makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


class Callback:
    """Of a training library that is not installed where the file is read."""

    def __init__(self) -> None:
        self.best = torch.ones(2)


def tensors() -> dict[str, Tensor]:
    whole = torch.arange(24.0).reshape(4, 6)
    return {"whole": whole, "part": whole[1:3, ::2], "turned": whole.T, "half": whole.half(), "ids": torch.arange(5),
            "bf16": torch.ones(3, dtype=torch.bfloat16), "empty": torch.zeros(0), "one": torch.tensor(7.0),
            "learnt": nn.Parameter(torch.ones(2))}  # fmt: skip


def test_a_checkpoint_that_holds_more_than_tensors_is_refused_with_the_command_that_converts_it(tmp_path: Path) -> None:
    made = tmp_path / "made"
    torch.save({"state_dict": {"x": torch.zeros(1)}, "callbacks": Payload(made)}, tmp_path / "bad.ckpt")
    with pytest.raises(BadInput, match=r"more than tensors \(.*open\), .*; .*tuwen tokenizer convert .*bad\.ckpt"):
        opened(tmp_path, kind="taming", path="bad.ckpt")
    (tmp_path / "old.pt").write_bytes(pickle.dumps(Payload(made)))
    with pytest.raises(BadInput):
        opened(tmp_path, kind="llamagen", path="old.pt")
    assert not made.exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["archive", "stream of before 1.6"])
def test_the_converter_takes_the_tensors_and_runs_nothing(tmp_path: Path, zipped: bool) -> None:
    made, file = tmp_path / "made", tmp_path / "last.ckpt"
    document = {
        "epoch": 3,
        "state_dict": tensors(),
        "hyper_parameters": argparse.Namespace(lr=1e-4),
        "callbacks": {"stop": Callback(), "payload": Payload(made)},
        "optimizer_states": [{"exp_avg": torch.zeros(3)}],
    }
    torch.save(document, file, _use_new_zipfile_serialization=zipped)
    converted = convert_checkpoint(file, tmp_path / "out.safetensors")
    assert not made.exists()
    assert converted.taken == "state_dict"
    read = load_file(tmp_path / "out.safetensors")
    assert read.keys() == tensors().keys()
    for name, tensor in tensors().items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor), name
    told = "; ".join(converted.left_out)
    for part in ("epoch: int 3", "hyper_parameters: argparse.Namespace", "callbacks: ", "optimizer_states: "):
        assert part in told
    document = read_inert(file)
    assert isinstance(document["callbacks"]["payload"], Inert)
    assert document["callbacks"]["payload"].name.endswith("open")


@pytest.mark.parametrize("protocol", range(2, 6))  # torch reads no older ones
def test_no_pickle_runs_anything_in_any_protocol(tmp_path: Path, protocol: int) -> None:
    made = tmp_path / "made"
    file = tmp_path / "evil.pt"
    torch.save({"model": {"x": torch.ones(1)}, "y": Payload(made)}, file, pickle_protocol=protocol)
    convert_checkpoint(file, tmp_path / "out.safetensors")
    assert not made.exists()
    assert torch.equal(load_file(tmp_path / "out.safetensors")["x"], torch.ones(1))


@pytest.mark.parametrize("zipped", [True, False], ids=["archive", "stream of before 1.6"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_a_damaged_file_asks_for_nothing_runs_and_the_refusal_is_ours(
    tmp_path: Path, zipped: bool, data: st.DataObject
) -> None:
    made, file = tmp_path / "made", tmp_path / "evil.pt"
    torch.save({"x": torch.ones(3), "y": Payload(made)}, file, _use_new_zipfile_serialization=zipped)
    spoilt = bytearray(file.read_bytes())
    anywhere = st.integers(0, 1 << 20)  # not up to the length: torch writes addresses, so a file's length varies
    for at in data.draw(st.lists(anywhere, min_size=1, max_size=4)):
        spoilt[at % len(spoilt)] = data.draw(st.integers(0, 255))
    file.write_bytes(spoilt[: 1 + data.draw(anywhere) % len(spoilt)])
    with contextlib.suppress(BadInput):
        read_inert(file)
    assert not made.exists()


@given(
    st.dictionaries(st.text(min_size=1, max_size=8), st.lists(st.integers(0, 4), max_size=3), min_size=1, max_size=5),
    st.booleans(),
)
def test_tensors_of_any_shape_are_read_as_torch_reads_them(shapes: dict[str, list[int]], zipped: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.pt"
        saved = {name: torch.randn(*shape, 3).transpose(0, -1)[..., ::2] for name, shape in shapes.items()}
        torch.save(saved, file, _use_new_zipfile_serialization=zipped)
        read, expected = read_inert(file), torch.load(file, weights_only=True)
        assert read.keys() == expected.keys()
        assert all(torch.equal(read[name], expected[name]) for name in expected)


def test_reading_a_payload_as_torch_does_by_default_would_have_run_it(tmp_path: Path) -> None:
    torch.save({"y": Payload(tmp_path / "made")}, tmp_path / "evil.pt")
    torch.load(tmp_path / "evil.pt", weights_only=False)
    assert (tmp_path / "made").exists()


def test_whole_pickled_modules_give_their_tensors_by_name(tmp_path: Path) -> None:
    """As OpenAI published the dVAE: encoder.pkl and decoder.pkl, which are modules and no state dicts."""
    original = ORIGINALS["dvae"]
    (tmp_path / "dall-e").mkdir()
    for name, file in original["files"].items():
        whole = nn.Module()
        for path, tensor in filled(file).items():
            module = whole
            *parents, last = path.split(".")
            for parent in parents:
                if not hasattr(module, parent):
                    module.add_module(parent, nn.Module())
                module = getattr(module, parent)
            module.register_parameter(last, nn.Parameter(tensor))
        torch.save(whole, tmp_path / "dall-e" / name.replace(".pt", ".pkl"))
    with pytest.raises(BadInput, match=r"tuwen tokenizer convert .*encoder\.pkl"):
        opened(tmp_path, kind="dvae", path="dall-e", size=32, batch=2)
    for half in ("encoder", "decoder"):
        convert_checkpoint(tmp_path / "dall-e" / f"{half}.pkl", tmp_path / "dall-e" / f"{half}.safetensors")
    ours = opened(tmp_path, kind="dvae", path="dall-e", size=32, batch=2)
    assert ours.encode(golden_pictures(2, 32)).tolist() == original["codes"]


def test_a_damaged_file_and_one_without_tensors_are_refused_in_one_line(tmp_path: Path) -> None:
    torch.save({"state_dict": {"x": torch.arange(1000.0)}}, tmp_path / "cut.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "cut.pt").read_bytes()[:700])
    torch.save({"epoch": 1, "args": argparse.Namespace(a=1)}, tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("not found")
    for name, refusal in (("cut.pt", "no file of torch.save"), ("none.pt", "no tensors"), ("text.pt", "no file of")):
        with pytest.raises(BadInput, match=refusal) as raised:
            convert_checkpoint(tmp_path / name, tmp_path / "out.safetensors")
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "out.safetensors").exists()


def test_tuwen_tokenizer_convert_says_what_it_took_and_what_it_left_out(tmp_path: Path) -> None:
    torch.save({"ema": {"x": torch.ones(1)}, "model": {"x": torch.zeros(1)}, "steps": 7}, tmp_path / "vq.pt")
    result = CliRunner().invoke(app, ["tokenizer", "convert", str(tmp_path / "vq.pt"), "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["taken"] == "ema"
    assert "left out: model: 1 tensors" in result.stderr
    assert torch.equal(load_file(tmp_path / "vq.safetensors")["x"], torch.ones(1))
    CliRunner().invoke(app, ["tokenizer", "convert", str(tmp_path / "vq.pt"), "--key", "model"])
    assert torch.equal(load_file(tmp_path / "vq.safetensors")["x"], torch.zeros(1))


@pytest.mark.parametrize("arguments", [["my.yaml"], ["--only", "text", "my.yaml"], ["train", "my.yaml"]])
def test_tuwen_tokenizer_still_takes_a_recipe(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["tokenizer", *arguments])
    assert isinstance(result.exception, BadInput)
    assert "my.yaml: no such recipe" in str(result.exception)


@pytest.mark.parametrize(
    ("name", "asked", "refusal"),
    [
        ("llamagen", "taming", "is a checkpoint of LlamaGen, .*; write `kind: llamagen`"),
        ("taming", "llamagen", "is a VQGAN of taming-transformers, or an IBQ, .*; write `kind: taming`"),
        ("titok", "diffusers", "is a TiTok, .*; write `kind: titok`"),
        ("rqvae", "cogview", "is an RQ-VAE, .*; write `kind: rqvae`"),
        ("open-magvit2", "rqvae", "is an Open-MAGVIT2, .*; write `kind: open-magvit2`"),
        ("var", "titok", "is VAR's VQ-VAE, .*; write `kind: var`"),
        ("cogview", "var", "is CogView's VQ-VAE, .*; write `kind: cogview`"),
        ("dvae", "torchscript", "is an encoder and a decoder|is one half of DALL-E's dVAE"),
        ("maskgit-vqgan", "taming", "is MaskGIT's VQGAN, .*; write `kind: maskgit-vqgan`"),
        ("transformers, BAAI's Emu3", "diffusers", "is a model `Emu3VisionVQ`, .*; write `kind: transformers`"),
    ],
)
def test_a_checkpoint_of_another_kind_is_told_which(tmp_path: Path, name: str, asked: str, refusal: str) -> None:
    original = ORIGINALS[name]
    write(tmp_path / "model", original["files"], original["config"])
    path = path_of(original["files"], original["config"])
    with pytest.raises(BadInput, match=refusal) as raised:
        opened(tmp_path, kind=asked, path=path, codebook=64)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        ({"kind": "diffusers", "path": "nowhere"}, "nowhere does not exist"),
        ({"kind": "diffusers", "path": "empty"}, "has no config.json; it has readme.md"),
        ({"kind": "diffusers", "path": "unet"}, "is the model UNet2DModel of diffusers, which is no VQModel"),
        ({"kind": "transformers", "path": "bert"}, "is a model `bert`, which holds no image tokenizer"),
        ({"kind": "llamagen", "path": "text.safetensors"}, "is a transformer, and no image tokenizer"),
        ({"kind": "taming", "path": "pipeline"}, "is the pipeline AmusedPipeline, .*; write `kind: diffusers`"),
        ({"kind": "torchscript", "path": "empty", "codebook": 8}, "has no encoder.jit"),
        ({"kind": "python", "python": "no_such_module:X"}, "no_such_module"),
        ({"kind": "python", "python": "pathlib:Path"}, "has no codebook, encode"),
    ],
)
def test_a_wrong_model_is_told_what_it_holds(tmp_path: Path, asked: dict[str, Any], refusal: str) -> None:
    for name, config in {
        "empty": None,
        "unet": '{"_class_name": "UNet2DModel"}',
        "bert": '{"model_type": "bert"}',
        "pipeline/vqvae": '{"_class_name": "VQModel"}',
    }.items():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "readme.md").write_text("x")
        if config:
            (tmp_path / name / "config.json").write_text(config)
    (tmp_path / "pipeline" / "model_index.json").write_text('{"_class_name": "AmusedPipeline"}')
    save_file({"model.layers.0.self_attn.q_proj.weight": torch.ones(2, 2)}, tmp_path / "text.safetensors")
    with pytest.raises(BadInput, match=refusal) as raised:
        opened(tmp_path, **asked)
    assert "\n" not in str(raised.value)


def test_every_original_is_seen_as_the_kind_that_reads_it(tmp_path: Path) -> None:
    for number, (name, original) in enumerate(ORIGINALS.items()):
        folder = tmp_path / str(number)
        write(folder / "model", original["files"], original["config"])
        found = seen(folder / path_of(original["files"], original["config"]))
        assert found is not None
        assert found.kind == name.split(",")[0]
