"""What the shipped tokenizers keep of pictures: held-out emoji of their own corpus, and emoji by other hands.

    python tests/bench/bench_tokenizers.py --foreign .venv/foreign-emoji/node_modules/@iconify-json --sheets runs/sheets

Needs the corpus that `tuwen corpus emoji` left in runs/emoji. A foreign set is a folder with the icons.json of Iconify;
`make bench-tokenizers` installs three: Noto (Google), Fluent (Microsoft), FxEmojis (Mozilla). Of each, evenly spaced
drawings are taken, drawn at 256 px on white, and cropped and resized as `tuwen tokenize` does. Prints a table; writes a
sheet for each tokenizer and set, originals above what came back.
"""

import argparse
import io
import json
from pathlib import Path
from time import process_time

import numpy as np
import resvg_py
import torch
from PIL import Image

from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.run_folders import CorpusFolder
from tuwen.pipeline.corpus_files.kept_pairs import read_kept_pairs
from tuwen.pipeline.corpus_files.split import split_rows
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.pipeline.open_source import picture_roots
from tuwen.pipeline.pictures.measured_pictures import measured_pictures
from tuwen.pipeline.pictures.upright_rgb import upright_rgb
from tuwen.tokenize.crops.cropped import fit_square
from tuwen.tokenize.image_codes import ImageCodes, Pictures
from tuwen.tokenize.open_image_codes import find_image_tokenizer, open_image_codes
from tuwen.tokenize.plan_parts import PLAN_COLUMNS
from tuwen.tokenize.quality import decode_in_batches, measure_quality

DRAWN_PX = 256
COLUMNS, DOUBLE_ROWS = 16, 3  # of a sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizers", nargs="*", default=["compact-64", "compact-128"], help="names or folders")
    parser.add_argument("--corpus", type=Path, default=Path("runs/emoji/corpus"))
    parser.add_argument("--foreign", type=Path, help="a folder of folders with an icons.json")
    parser.add_argument("--pictures", type=int, default=400, help="of each set")
    parser.add_argument("--sheets", type=Path, default=Path("runs/sheets"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sets = {"held out": held_out(arguments.corpus, arguments.pictures)}
    for icons in sorted(arguments.foreign.glob("*/icons.json")) if arguments.foreign else []:
        sets[icons.parent.name] = drawings(icons, arguments.pictures)
    arguments.sheets.mkdir(parents=True, exist_ok=True)
    print("| tokenizer | pictures | PSNR mean / of mean | SSIM | codebook used | perplexity | encoding, ms a picture |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.tokenizers:
        image_codes = open_image_codes(find_image_tokenizer(name, Path()))
        for label, pictures in sets.items():
            print(row(image_codes, label, pictures, arguments.sheets), flush=True)


def held_out(corpus: Path, most: int) -> list[Image.Image]:
    recipe, manifest = load_recipe("emoji", None), load_manifest(corpus, "corpus")
    rows = split_rows(read_kept_pairs(manifest, PLAN_COLUMNS), recipe.split.validation)["validation"]
    chosen = rows.take(spaced(len(rows), most))
    return [picture for _, picture in measured_pictures(chosen, picture_roots(recipe, CorpusFolder(corpus)))]


def drawings(icons: Path, most: int) -> list[Image.Image]:
    document = json.loads(icons.read_bytes())
    names = sorted(document["icons"])
    return [draw(document["icons"][names[number]], document) for number in spaced(len(names), most)]


def draw(icon: dict[str, object], document: dict[str, object]) -> Image.Image:
    width, height = (icon.get(side, document.get(side, 16)) for side in ("width", "height"))
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">{icon["body"]}</svg>'
    )
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=DRAWN_PX, skip_system_fonts=True))
    return upright_rgb(Image.open(io.BytesIO(png)), 1).picture


def spaced(count: int, most: int) -> list[int]:
    return [int(number) for number in np.linspace(0, count - 1, min(count, most))]


def row(image_codes: ImageCodes, label: str, originals: list[Image.Image], sheets: Path) -> str:
    identity = image_codes.identity
    pictures = np.stack([fit_square(picture, identity.side_px, identity.resize)[0] for picture in originals])
    begin = process_time()
    codes = image_codes.encode(pictures)
    milliseconds = (process_time() - begin) / len(pictures) * 1e3
    quality = measure_quality(image_codes, pictures)
    save_sheet(
        sheets / f"{identity.name}-{label.replace(' ', '-')}.png", pictures, decode_in_batches(image_codes, codes)
    )
    psnr = f"{quality['psnr_mean_db']:.2f} / {quality['psnr_of_mean_db']:.2f}"
    used = f"{quality['codebook_used']:.1%} | {quality['perplexity']:.0f} | {milliseconds:.2f}"
    return f"| {identity.name} | {label}, {len(pictures)} | {psnr} | {quality['ssim']:.3f} | {used} |"


def save_sheet(path: Path, original: Pictures, restored: Pictures) -> None:
    chosen = spaced(len(original), COLUMNS * DOUBLE_ROWS)
    lines = [chosen[start : start + COLUMNS] for start in range(0, len(chosen), COLUMNS)]
    rows = [np.concatenate(list(pictures[line]), axis=1) for line in lines for pictures in (original, restored)]
    Image.fromarray(np.concatenate([line for line in rows if line.shape == rows[0].shape])).save(path)


if __name__ == "__main__":
    main()
