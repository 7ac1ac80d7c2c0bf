"""`make bench-parity`: our codes beside those of each tokenizer's own library or code, on random weights.

    python bench_parity.py ORIGINALS                      # a folder with owner+name of each repository
    python bench_parity.py ORIGINALS --kinds titok rqvae --pictures 4
    python bench_parity.py ORIGINALS --goldens ../tokenize/pretrained/originals.json

One row a tokenizer, at the shape that was published: codes that equal the original's on the same pictures, the largest
difference of decoded pixels in levels, whether a picture alone has the codes that it has among 16, CPU seconds that the
original takes to encode a picture on one thread. --goldens writes small shapes with the originals' codes, which the
suite compares with.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from parity.libraries import LIBRARIES
from parity.originals import ORIGINALS, Original
from parity.pictures import golden_pictures

from tuwen.manifests.recipe.tokenizing import ImageTokenizer
from tuwen.manifests.run_folders import ImageTokenizerFolder
from tuwen.tokenize.open_image_codes import open_image_codes
from tuwen.tokenize.pretrained.convert import convert


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("originals", type=Path)
    parser.add_argument("--kinds", nargs="+", default=[*LIBRARIES, *ORIGINALS])
    parser.add_argument("--pictures", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16, help="pictures that are encoded at a time")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--goldens", type=Path)
    asked = parser.parse_args()
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    if asked.goldens:
        goldens = {kind: golden(ORIGINALS[kind](asked.originals.resolve(), True)) for kind in ORIGINALS}
        asked.goldens.write_text(json.dumps(goldens, separators=(",", ":")) + "\n", encoding="utf-8")
        return
    equal, alone = "codes equal, different ones", f"alone = among {asked.batch}"
    print(f"| kind | picture → codes | parameters | {equal} | decoded, levels | {alone} | CPU s a picture |")
    print("|---|---|---|---|---|---|---|")
    for kind in asked.kinds:
        make = LIBRARIES.get(kind) or ORIGINALS[kind]
        with tempfile.TemporaryDirectory() as folder:
            print(row(kind, make(asked.originals.resolve(), asked.small), Path(folder), asked), flush=True)


def as_pixels(batch: Any, original: Original) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (original.mean, original.std))
    unit = torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255
    return ((unit - mean) / std).contiguous()


def as_pictures(pixels: torch.Tensor, original: Original) -> Any:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (original.mean, original.std))
    return ((pixels * std + mean).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def row(kind: str, original: Original, folder: Path, run: argparse.Namespace) -> str:
    path = original.write(folder)
    batch = golden_pictures(run.pictures, original.side_px)
    started = time.process_time()
    theirs = torch.cat([original.encode(as_pixels(each[None], original)) for each in batch]).numpy()
    seconds = (time.process_time() - started) / run.pictures
    asked = ImageTokenizer.model_validate(
        {"kind": kind.split(",")[0], "path": path, "size": original.side_px, "batch": run.batch, "codebook": 64}
    )
    tokenizer = ImageTokenizerFolder(folder / "tokenizer")
    convert(asked, folder, tokenizer)
    ours = open_image_codes(tokenizer.path)
    codes = ours.encode(batch)
    alone = in_batches_of_one(tokenizer).encode(batch)
    assert len(np.unique(theirs)) > 1, "one code for everything shows nothing"
    equal = f"{int((codes == theirs).sum()):,} of {codes.size:,}, {len(np.unique(theirs)):,}"
    decoded = "no decoder"
    if original.decode is not None:
        expected = as_pictures(original.decode(torch.from_numpy(theirs)), original)
        decoded = str(int(np.abs(ours.decode(theirs).astype(int) - expected.astype(int)).max()))
    parameters = sum(parameter.numel() for parameter in original.module.parameters()) / 1e6
    shape = " × ".join(map(str, ours.identity.shape))
    return (
        f"| {kind} | {original.side_px} px → {shape} of {ours.identity.codebook:,} | {parameters:.1f} M | {equal} | "
        f"{decoded} | {int((alone == codes).sum()):,} of {codes.size:,} | {seconds:.2f} |"
    )


def in_batches_of_one(tokenizer: ImageTokenizerFolder) -> Any:
    config = json.loads(tokenizer.config.read_bytes())
    tokenizer.config.write_text(json.dumps({**config, "batch": 1}), encoding="utf-8")
    return open_image_codes(tokenizer.path)


def golden(original: Original) -> dict[str, Any]:
    """What the suite needs in order to repeat the comparison without the original code."""
    original.fill()
    batch = golden_pictures(2, original.side_px)
    codes = original.encode(as_pixels(batch, original))
    assert original.decode is not None
    decoded = as_pictures(original.decode(codes), original)
    return {
        "files": original.files,
        "config": original.config,
        "side_px": original.side_px,
        "codes": codes.tolist(),
        "decoded": decoded[:, :: original.side_px // 8, :: original.side_px // 8].tolist(),
    }


if __name__ == "__main__":
    main()
