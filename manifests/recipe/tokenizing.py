"""`tokenize:` of a recipe: the tokenizers of pictures and captions, the crops, the shards, and how the job runs.

ImageTokenizer(kind="diffusers", path="models/movq", size=256)
Crops(kind="random", count=4).views       # 4: so many rows of a shard has each pair
"""

from typing import Annotated, Literal

from pydantic import AliasChoices, Field, model_validator

from .section import Name, Section, Share

ImageTokenizerKind = Literal[
    "compact", "diffusers", "transformers", "taming", "llamagen", "ibq", "open-magvit2", "rqvae", "var",
    "maskgit-vqgan", "titok", "dvae", "cogview", "torchscript", "python",
]  # fmt: skip
# adm: halved while twice as large, then bicubic, as LlamaGen does; area is another name of box
Resize = Literal["bicubic", "lanczos", "bilinear", "box", "area", "hamming", "nearest", "adm"]
_CAN_ALIAS = ("bicubic", "bilinear", "nearest")

# By kind, the filter of the crop in its own training or example code, where that is not bicubic; `resampling` names it.
TRAINED_WITH = {
    "taming": "bilinear-aliased",
    "llamagen": "adm",
    "ibq": "bilinear",
    "open-magvit2": "bilinear",
    "rqvae": "bilinear",
    "var": "lanczos",
    "maskgit-vqgan": "bilinear",
    "dvae": "lanczos",
    "cogview": "bilinear",
}


class CompactVQTraining(Section):
    """The training of the compact VQ by `tuwen tokenizer`: a network for one size, and how it learns."""

    side: Annotated[int, Field(ge=16, le=1024)] = 64  # px of its pictures
    patch: Literal[8, 16] = 8  # px: one code for each patch
    codebook: Annotated[int, Field(ge=2, le=65536)] = 1024
    width: Annotated[int, Field(ge=8)] = 192  # channels where most of the work is done
    depth: Annotated[int, Field(ge=1)] = 2  # blocks of the decoder at each size
    attention: bool = True  # after the decoder's blocks on the grid of codes
    steps: Annotated[int, Field(ge=1)] = 5000
    batch: Annotated[int, Field(ge=1)] = 32  # pictures a step
    muon_lr: Annotated[float, Field(gt=0)] = 0.02  # of the convolution kernels
    adam_lr: Annotated[float, Field(gt=0)] = 2e-3  # of norms, biases, the first and the last layer
    warmup_steps: Annotated[int, Field(ge=0)] = 50
    shift: Annotated[int, Field(ge=0)] = 0  # px by which pictures are moved at random, at most; their edges repeated
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0  # decay of an average of the weights, which is kept; 0: none
    perceptual: str | None = None  # a TorchScript feature network, (B, 3, side, side) in 0..1 → (B, C, h, w) or several
    perceptual_weight: Annotated[float, Field(gt=0)] = 0.1
    adversarial: Annotated[float, Field(ge=0)] = 0.0  # weight of a critic's opinion; 0: none
    checkpoint_every: Annotated[int, Field(ge=1)] = 500  # steps; a killed training goes on from there
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _has_whole_patches(self) -> "CompactVQTraining":
        if self.side % self.patch:
            raise ValueError(f"patches of {self.patch} px do not divide {self.side} px; change `side` or `patch`")
        return self


class ImageTokenizer(Section):
    tokenizer: str = "compact-64"  # of kind compact: a shipped name, or the folder `tokenizer/image` of a run
    training: CompactVQTraining = CompactVQTraining()
    kind: ImageTokenizerKind = "compact"
    path: str | None = None  # of the other kinds: the folder or file of the model
    python: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")] | None = None  # of kind python: module:Class
    size: Annotated[int, Field(ge=8, le=4096)] | None = None  # px of the square that is encoded
    codebook: Annotated[int, Field(ge=2)] | None = None  # of kind torchscript, whose files do not say it
    resize: Resize | None = None  # the filter of the crop; None: the one that the kind was trained with
    antialias: bool = True  # false: pixels are sampled, not averaged, as by torch's interpolate and OpenCV
    batch: Annotated[int, Field(ge=1)] = 16  # pictures that are encoded at a time, of the other kinds
    # These three change some codes and are part of the tokenizer's identity; of the other kinds.
    precision: Literal["float32", "bfloat16", "float16"] = "float32"  # of the network; codes are sought in float32
    compile: bool = False  # by torch.compile
    channels_last: bool = False  # the memory layout of convolutions
    license: Annotated[str, Field(validation_alias=AliasChoices("license", "licence"))] = "unknown"  # of the model
    unstable: Literal["refuse", "accept"] = "refuse"  # a tokenizer that gives a picture other codes another time

    @model_validator(mode="after")
    def _names_its_model(self) -> "ImageTokenizer":
        if self.kind == "compact" and (self.path or self.size or self.python):
            raise ValueError("`path`, `size` and `python` belong to other kinds; name one with `kind: …`")
        if self.kind == "compact" and (self.precision != "float32" or self.compile or self.channels_last):
            raise ValueError(
                "`precision`, `compile` and `channels_last` belong to other kinds; name one with `kind: …`"
            )
        if self.kind != "compact" and not self.size:
            raise ValueError(f"`kind: {self.kind}` needs the side of its pictures; write `size: 256`")
        if self.kind == "python" and not self.python:
            raise ValueError("`kind: python` needs the class; write `python: module:Class`")
        if self.kind not in ("compact", "python") and not self.path:
            raise ValueError(f"`kind: {self.kind}` needs the model; write `path: …`")
        if self.kind == "torchscript" and not self.codebook:
            raise ValueError("`kind: torchscript` needs the number of codes; write `codebook: 64000`")
        return self

    @model_validator(mode="after")
    def _can_do_without_antialiasing(self) -> "ImageTokenizer":
        if not self.antialias and self.resize not in _CAN_ALIAS:
            raise ValueError(f"`antialias: false` knows {', '.join(_CAN_ALIAS)}; write one of them in `resize`")
        return self

    @property
    def resampling(self) -> str:
        """The filter by the name that `tokenize/crops/resample.py` knows."""
        if self.resize is None:
            return TRAINED_WITH.get(self.kind, "bicubic")
        return {"area": "box"}.get(self.resize, self.resize) + ("" if self.antialias else "-aliased")


class TextTokenizer(Section):
    tokenizer: Literal["sentencepiece", "characters", "huggingface"] = "sentencepiece"
    path: str | None = (
        None  # of a model that is given: SentencePiece's .model, tokenizer.json; None: made of the corpus
    )
    storage: Literal["ragged", "padded"] = "ragged"  # padded: every caption has max_tokens ids in the shard
    vocab: Annotated[int, Field(ge=64, le=1_000_000)] = 4000
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 24

    @model_validator(mode="after")
    def _names_its_file(self) -> "TextTokenizer":
        if self.tokenizer == "huggingface" and not self.path:
            raise ValueError("`tokenizer: huggingface` needs its file; write `path: …/tokenizer.json`")
        return self


class Crops(Section):
    """The part of a picture that is encoded. Boxes are drawn by the pair's key, so every run makes the same."""

    # pad: the whole picture, with bars; ten: corners and centre of the centre square, by `zoom` smaller than it
    kind: Literal["center", "pad", "random", "ten"] = "center"
    count: Annotated[int, Field(ge=1, le=64)] = 1  # of kind random: boxes a picture, each a row of its own
    min_share: Annotated[float, Field(gt=0, le=1)] = 0.5  # of kind random: of the centre square's area
    # of kinds center and ten: 1.125 leaves out a ninth of the side, as VAR does; LlamaGen's ten-crop is 1.1
    zoom: Annotated[float, Field(ge=1)] = 1.0
    fill: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] = "#ffffff"  # of kind pad: the colour of the bars
    # Mirrored Han characters are wrong ones: only where pictures hold none. random: by a draw; others: both are rows.
    mirror: bool = False
    seed: int = 0

    @model_validator(mode="after")
    def _counts_what_it_draws(self) -> "Crops":
        if self.kind != "random" and self.count > 1:
            raise ValueError(f"`kind: {self.kind}` gives a fixed number of crops; write `kind: random` with `count`")
        if self.kind == "ten" and self.zoom == 1:
            raise ValueError("`kind: ten` needs crops smaller than the square; write `zoom: 1.1`, as LlamaGen does")
        if self.kind in ("pad", "random") and self.zoom > 1:
            raise ValueError(f"`kind: {self.kind}` has no zoom; leave it out, or write `kind: center`")
        return self

    @property
    def views(self) -> int:
        """The crops of a picture."""
        if self.kind == "random":
            return self.count
        return (5 if self.kind == "ten" else 1) * (2 if self.mirror else 1)


class Job(Section):
    """How the encoding runs. Neither key changes a code on one kind of device."""

    gpus: Annotated[float, Field(ge=0)] = 0.0  # share of a GPU that an encoder takes; 0: it runs on CPUs
    threads: Annotated[int, Field(ge=1)] = 1  # of an encoder on CPUs; two may change a code in a million
    decoders: Annotated[int, Field(ge=0)] = 0  # processes that decode and crop for an encoder; 0: it does so itself


class Quality(Section):
    """The gate of `tuwen tokenize`: what stops the job."""

    rows: Annotated[int, Field(ge=0)] = 16  # of each block that are decoded again; 0: no gate
    max_failed: Share = 0.2  # of the pictures that can no longer be read
    max_fall_db: Annotated[float, Field(gt=0)] = 6.0  # of a block's PSNR below the mean of those before it


class Tokenize(Section):
    image: ImageTokenizer = ImageTokenizer()
    # The same crops by more tokenizers: an array `codes_NAME` each.
    also: dict[Name, ImageTokenizer] = Field(default={})
    text: TextTokenizer = TextTokenizer()
    crops: Crops = Crops()
    job: Job = Job()
    quality: Quality = Quality()
    block_rows: Annotated[int, Field(ge=1)] = 4096
    shard_blocks: Annotated[int, Field(ge=1)] = 16
