"""What `wukong` loses of captions, and how many a second one core cleans.

    python tests/bench/bench_captions.py captions.txt …      # a caption a line

Prints, for each file, captions, what was dropped by reason, what was masked, captions a second (best of three), and the
first lines that were dropped for another reason than their length.
"""

import argparse
from collections import Counter
from pathlib import Path
from time import process_time

from tuwen.manifests.recipe.rules import Captions
from tuwen.pipeline.captions.clean_caption import CaptionCleaner

LENGTH = ("too_many_han", "caption_too_short", "caption_too_long")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--show", type=int, default=10, help="lines to show of each file")
    arguments = parser.parse_args()
    cleaner = CaptionCleaner(Captions(preset="wukong", max_repetition=0.6).resolved())
    cleaner("点击 Photo by 王伟 微信 www.a.com ＡＢＣ")  # what is built at first use
    for path in arguments.files:
        measure(cleaner, path, arguments.show)


def measure(cleaner: CaptionCleaner, path: Path, show: int) -> None:
    captions = path.read_text(encoding="utf-8").splitlines()
    seconds = []
    for _ in range(3):
        start = process_time()
        cleaned = [cleaner(caption) for caption in captions]
        seconds.append(process_time() - start)
    reasons = Counter(one.reason for one in cleaned if one.reason)
    lost = [
        (one.reason, caption) for one, caption in zip(cleaned, captions, strict=True) if one.reason not in ("", *LENGTH)
    ]
    masked = sum(bool(one.masked) for one in cleaned)
    print(f"{path.name}: {len(captions)} captions, {len(captions) / min(seconds):,.0f} a second")
    print(
        f"  lost but for their length {len(lost)} ({len(lost) / len(captions):.3%}), masked {masked}, {dict(reasons)}"
    )
    for reason, caption in lost[:show]:
        print(f"  {reason:16} {caption}")


if __name__ == "__main__":
    main()
