"""Sketches: the same few captions, painted at fixed steps of a training, so that one sees what it has learned.

    sketches = Sketches.of(run, shards)          # of held-out captions; None when none are held out
    sketches.paint(trainer.judged, steps_done=400)      # sketches/step-000400.png

The captions are as many as one batch of the sampler holds, all of one length, and the likeliest codes are taken: a
picture differs from that of another step by the weights alone. Nothing of the training depends on it.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Self

import numpy as np

from ...manifests.atomic import whole_file
from ...manifests.canonical import canonical_json
from ...manifests.manifest import Manifest
from ...manifests.shards.split_reader import SplitReader
from ...tokenize.quality import decode_in_batches
from ..run.run import Run
from ..transformer.model import Transformer
from .generate_pictures import save_grid
from .sampling import BATCH_ROWS, SamplingConfig, sample_codes

_HELD_OUT, _CAPTIONS_READ = "validation", 1024
COLUMNS = 8


@dataclass(frozen=True)
class Sketches:
    run: Run
    prompts: list[list[int]]  # ids of text, all of one length

    @classmethod
    def of(cls, run: Run, shards: Manifest) -> Self | None:
        """Choose captions and write down which. None without a held-out split or without an image tokenizer."""
        held_out = shards.splits.get(_HELD_OUT)
        if held_out is None or not held_out.samples or not run.folder.image_tokenizer.is_dir():
            return None
        reader, encoder = SplitReader(shards, _HELD_OUT), run.caption_ids
        metas = reader.metas(np.arange(min(_CAPTIONS_READ, held_out.samples)))
        by_length: dict[int, dict[str, list[int]]] = defaultdict(dict)
        for caption in [meta["caption"] for meta in metas if meta.get("caption")]:
            ids = encoder.encode(caption)[: run.layout.text_max]
            by_length[len(ids)][caption] = ids
        if not by_length:
            return None
        chosen = dict(list(max(by_length.values(), key=len).items())[:BATCH_ROWS])
        run.folder.sketches.mkdir(parents=True, exist_ok=True)
        with whole_file(run.folder.sketch_list) as temporary:
            temporary.write_bytes(canonical_json(list(chosen)) + b"\n")
        return cls(run, list(chosen.values()))

    def paint(self, model: Transformer, steps_done: int) -> None:
        layout, image_codes = self.run.layout, self.run.image_codes
        ids, positions = zip(*(layout.prompt(text) for text in self.prompts), strict=True)
        config = SamplingConfig(
            num_codes=layout.num_codes, codebook_size=layout.codebook, codebooks=layout.codebooks, temperature=0,
            precision=self.run.document.precision,
        )  # fmt: skip
        codes_PSN, _ = sample_codes(model, ids, positions, 1, 0, config)
        pictures = decode_in_batches(image_codes, codes_PSN[:, 0].reshape(-1, *image_codes.identity.shape))
        save_grid(self.run.folder.sketch(steps_done), pictures, COLUMNS, scale=1)
