"""What lies where in the folders that a run leaves: no other file spells these names.

    run = RunFolder(Path("runs/emoji"))
    run.corpus.verdicts, run.shards.text_model, run.train.checkpoint, run.report

Names that a manifest lists are relative to its folder: `CorpusFolder.verdicts_name("photos-3f2a.parquet")`.
"""

from dataclasses import dataclass
from pathlib import Path

MANIFEST = "manifest.json"
TEXT_MODEL = "text.model"
IMAGE_TOKENIZER = "image_tokenizer"
FINER_TOKENIZER = "finer_tokenizer"
LOST = "lost.parquet"
TOKENIZER_FILES = ("weights.safetensors", "config.json")  # what the folder of an image tokenizer must hold
BY_OTHER_HANDS = ("by-other-hands.json", "by-other-hands.webp")  # what it may hold besides


class _WithManifest:
    path: Path

    @property
    def manifest(self) -> Path:
        return self.path / MANIFEST


class _WithTokenizers:
    """What is tokenized takes its tokenizers along, so that it can be read wherever it is copied."""

    path: Path

    @property
    def text_model(self) -> Path:
        return self.path / TEXT_MODEL

    @property
    def image_tokenizer(self) -> Path:
        return self.path / IMAGE_TOKENIZER


@dataclass(frozen=True)
class CorpusFolder(_WithManifest):
    """`tuwen corpus`: measures → verdicts, and what was gathered or computed on the way."""

    path: Path

    @property
    def verdicts(self) -> Path:
        """The decision table, a Parquet file a part."""
        return self.path / "verdicts"

    @property
    def contaminated(self) -> Path:
        """Pairs that pictures of evaluation sets took away."""
        return self.path / self.contaminated_name

    @property
    def measures(self) -> Path:
        return self.path / "measures"

    @property
    def evaluation_measures(self) -> Path:
        """What was measured of evaluation sources."""
        return self.path / "measures-evaluation"

    def score(self, name: str) -> Path:
        return self.path / name

    def evaluation_score(self, name: str) -> Path:
        return self.path / f"{name}-evaluation"

    def pictures(self, source: str) -> Path:
        """What was drawn or fetched of a source, as tars."""
        return self.path / "pictures" / source

    @property
    def judged(self) -> Path:
        """The verdicts of the rules on a pair alone."""
        return self.path / ".work" / "judged"

    @property
    def near(self) -> Path:
        """Mapped files of the search for near-duplicates; empty when it is done."""
        return self.path / ".work" / "near"

    @property
    def decided(self) -> Path:
        """What the decision table was made from, as a hash: the same again need not be decided again."""
        return self.path / ".work" / "decided.json"

    @property
    def roots(self) -> Path:
        """Where the pictures of each source lie on this machine."""
        return self.path / ".work" / "roots.json"

    @property
    def contaminated_name(self) -> str:
        return "contaminated.parquet"

    @staticmethod
    def verdicts_name(part: str) -> str:
        """How the manifest lists a part of the decision table."""
        return f"verdicts/{part}"


@dataclass(frozen=True)
class TokenizerFolder:
    """`tuwen tokenizer`: a SentencePiece model, and an image tokenizer in a folder of its own."""

    path: Path

    @property
    def text_model(self) -> Path:
        return self.path / TEXT_MODEL

    @property
    def image(self) -> Path:
        return self.path / self.image_name

    @property
    def image_name(self) -> str:
        return "image"

    @property
    def plan(self) -> Path:
        """The rows of each part, for the stages to read."""
        return self.path / ".work" / "plan"

    def crops(self, split: str) -> Path:
        return self.path / ".work" / f"crops-{split}"

    @property
    def training(self) -> Path:
        """The state of a training that has not ended."""
        return self.path / ".work" / "training.pt"


@dataclass(frozen=True)
class ImageTokenizerFolder(_WithManifest):
    """An image tokenizer: weights and config, and what is known of how it was trained."""

    path: Path

    @property
    def weights(self) -> Path:
        return self.path / TOKENIZER_FILES[0]

    @property
    def config(self) -> Path:
        return self.path / TOKENIZER_FILES[1]

    @property
    def quality(self) -> Path:
        return self.path / "quality.json"

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def by_other_hands(self) -> Path:
        """What it keeps of pictures by hands that no training saw, as JSON: measured once, for shipped tokenizers."""
        return self.path / BY_OTHER_HANDS[0]

    @property
    def by_other_hands_sheet(self) -> Path:
        """Some of them above what came back of them, as a picture."""
        return self.path / BY_OTHER_HANDS[1]


@dataclass(frozen=True)
class ShardsFolder(_WithManifest, _WithTokenizers):
    """`tuwen tokenize`: the shards, the tokenizers that read them back, and what the codes keep of a picture."""

    path: Path

    def reconstruction_of(self, array: str = "codes") -> Path:
        """PSNR, SSIM and use of the codebook of an array of codes, as JSON."""
        return self.path / f"reconstruction{array.removeprefix('codes')}.json"

    def reconstruction_sheet_of(self, array: str = "codes") -> Path:
        """Originals above what came back of them, as a picture."""
        return self.path / f"reconstruction{array.removeprefix('codes')}.png"

    @property
    def plan(self) -> Path:
        """The rows of each shard, for the stage to read."""
        return self.path / ".work" / "plan"

    def image_tokenizer_of(self, array: str) -> Path:
        """The tokenizer whose codes an array has: "codes", or "codes_NAME" of a further one."""
        return self.path / f"{IMAGE_TOKENIZER}{array.removeprefix('codes')}"

    @property
    def stability(self) -> Path:
        """Whether the tokenizers give equal codes for equal pictures."""
        return self.path / ".work" / "stability"

    @property
    def lost(self) -> Path:
        """Pairs without a sample, since their pictures were lost after the corpus was made."""
        return self.path / LOST


@dataclass(frozen=True)
class ExportFolder:
    """`tuwen export`: the pairs in a format of others, and what catalogues and loaders look for beside them."""

    path: Path

    @property
    def croissant(self) -> Path:
        return self.path / "croissant.json"

    @property
    def card(self) -> Path:
        return self.path / "README.md"

    def wids_index(self, split: str) -> Path:
        return self.path / f"index.{split}.json"

    @property
    def energon(self) -> Path:
        return self.path / ".nv-meta" / "dataset.yaml"

    @property
    def plan(self) -> Path:
        return self.path / ".work" / "plan"

    @property
    def pieces(self) -> Path:
        """What the parts write of files that are put together of all of them."""
        return self.path / ".work" / "pieces"


@dataclass(frozen=True)
class TrainFolder(_WithManifest, _WithTokenizers):
    """`tuwen train`: what the run is, what it has learned, and what was made with it."""

    path: Path

    @property
    def finer_tokenizer(self) -> Path:
        """Of a run that continues codes with finer ones."""
        return self.path / FINER_TOKENIZER

    @property
    def document(self) -> Path:
        """The declared inputs of the run, its number of steps included."""
        return self.path / "run.json"

    @property
    def losses(self) -> Path:
        """One line a step."""
        return self.path / "losses.jsonl"

    @property
    def checkpoint(self) -> Path:
        """The newest one."""
        return self.path / "checkpoint.safetensors"

    @property
    def checkpoints(self) -> Path:
        """The newest few, by their step."""
        return self.path / "checkpoints"

    @property
    def init(self) -> Path:
        """The weights that a fine-tuning began from."""
        return self.path / "init.safetensors"

    @property
    def painter(self) -> Path:
        """The weights alone, a byte each, instead of a checkpoint."""
        return self.path / "painter.safetensors"

    @property
    def validation(self) -> Path:
        """One line a validation."""
        return self.path / "validation.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def samples(self) -> Path:
        """Pictures that `tuwen sample` made."""
        return self.path / "samples"

    @property
    def sketches(self) -> Path:
        """The same captions, painted at fixed steps of the training."""
        return self.path / "sketches"

    @property
    def sketch_list(self) -> Path:
        return self.sketches / "sketches.json"

    def sketch(self, steps_done: int) -> Path:
        return self.sketches / f"step-{steps_done:06d}.png"

    @property
    def paintings(self) -> Path:
        """The demo's pictures, one file a prompt."""
        return self.path / "paintings"

    @property
    def paintings_list(self) -> Path:
        return self.paintings / "paintings.json"

    @property
    def nearest(self) -> Path:
        """Whether the pictures are near those that carry their captions."""
        return self.path / "nearest.json"

    @property
    def evaluation(self) -> Path:
        """What `tuwen evaluate` has found."""
        return self.path / "evaluation.json"

    @property
    def closest(self) -> Path:
        """Painted pictures, and below each the training picture that it is nearest to."""
        return self.path / "closest.png"

    @property
    def refined(self) -> Path:
        """Held-out pictures: enlarged, refined, of their own finer codes, and themselves; a row each."""
        return self.path / "refined.png"

    @property
    def longer(self) -> Path:
        """What longer trainings gave: figures and pictures that the demo takes from what is shipped."""
        return self.path / "longer"

    @property
    def longer_figures(self) -> Path:
        return self.longer / "figures.json"


@dataclass(frozen=True)
class RunFolder:
    """One run: a folder a stage, and the page that shows them all."""

    path: Path

    @classmethod
    def of(cls, name: str) -> "RunFolder":
        """The folder of a recipe's run, below the current directory."""
        return cls(Path("runs") / name)

    @property
    def corpus(self) -> CorpusFolder:
        return CorpusFolder(self.path / "corpus")

    @property
    def tokenizer(self) -> TokenizerFolder:
        return TokenizerFolder(self.path / "tokenizer")

    @property
    def shards(self) -> ShardsFolder:
        return ShardsFolder(self.path / "shards")

    @property
    def train(self) -> TrainFolder:
        return TrainFolder(self.path / "train")

    @property
    def samples(self) -> Path:
        """Pictures of a shipped painter, which has no folder of its own to write into."""
        return self.path / "samples"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def times(self) -> Path:
        """How long each phase of the demo took."""
        return self.path / "times.json"
