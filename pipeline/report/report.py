"""`report.html`: one self-contained page that shows a run and what proves it.

    write_report(RunFolder(Path("runs/emoji")))

Reads only what the stages left on disk (manifests, decision table, measures, losses, paintings), so it can be written
after any of them and shows what is there. Counts and histograms are exact and read part by part; pictures are a
sample in the order of the keys, which are hashes: the same ones each time.
"""

from pathlib import Path
from typing import Any

import jinja2

from ...manifests.atomic import whole_file
from ...manifests.manifest import Manifest, load_manifest
from ...manifests.recipe.recipe import Recipe
from ...manifests.run_folders import CorpusFolder, RunFolder
from ..duplicates.cluster_shapes import ClusterRows
from ..load_recipe import recorded_recipe
from ..reasons import FUNNEL, STAGES, rule_of, title_of
from .corpus_parts import corpus_parts
from .duplicate_pairs import DuplicatePairs
from .duplicates import duplicates_section
from .fetching import fetching_chart
from .figures import Numbers
from .plots import caption_charts, picture_charts
from .samples import Samples
from .thumbnails import SmallPictures
from .tiles import WHOLE_CHARACTERS, plain, tile_of
from .training import proofs, read_json, shards_section, training_section

_CAPTIONS_SHOWN = 10  # of those said most often
_REASONS_SHOWN = 3  # of a source, in its line of the table
_FORMATS_SHOWN = 6
_OPEN = 8  # reasons whose examples are seen without a click


def write_report(run: RunFolder, corpus_folder: CorpusFolder | None = None) -> Path:
    """Write the page of `run`, with its shards and its training if they are there. The corpus may lie elsewhere."""
    corpus = load_manifest((corpus_folder or run.corpus).path, "corpus")
    recipe = recorded_recipe(corpus.document["lineage"]["recipe"])
    numbers, samples, duplicates, clusters = Numbers(), Samples(), DuplicatePairs(), ClusterRows()
    for part in corpus_parts(corpus):
        for counted in (numbers, samples, duplicates, clusters):
            counted.add(part)
    pictures = SmallPictures(corpus)
    page = _template().render(
        name=recipe.name,
        totals=corpus.document["totals"],
        lineage=corpus.document["lineage"],
        contact=recipe.export.contact,
        **_counted(corpus, recipe, numbers),
        **_shown(recipe, numbers, samples, pictures),
        duplicates=duplicates_section(corpus, recipe, duplicates, clusters.shapes(), pictures),
        shards=shards_section(run.shards),
        training=training_section(run.train),
        proofs=proofs(run, corpus),
        times=read_json(run.times) or [],
    )
    with whole_file(run.report) as temporary:
        temporary.write_bytes(page.encode("utf-8", "replace"))
    return run.report


def refresh_report(run: RunFolder) -> None:
    """Write the page again when a stage that lies beside its corpus has changed; without a corpus there is no page."""
    if run.corpus.manifest.is_file():
        write_report(run)


def _counted(corpus: Manifest, recipe: Recipe, numbers: Numbers) -> dict[str, Any]:
    """What the page says in numbers and charts."""
    fetching = fetching_chart(corpus)
    return {
        "funnel": _funnel(corpus),
        "stages": [stage for stage in STAGES if any(about.stages[stage] for about in numbers.sources.values())],
        "sources": _sources(corpus, numbers),
        "licenses": _licenses(corpus),
        "charts": [*picture_charts(numbers, recipe), *([fetching] if fetching else [])],
        "formats": _formats(numbers),
        "caption_charts": caption_charts(numbers, recipe),
        "distinct_captions": numbers.captions.distinct(),
        "most_said": [
            (plain(said["caption"])[:WHOLE_CHARACTERS], said["dropped"], said["kept"])
            for said in numbers.captions.most_said(corpus, _CAPTIONS_SHOWN)
        ],
    }


def _shown(recipe: Recipe, numbers: Numbers, samples: Samples, pictures: SmallPictures) -> dict[str, Any]:
    """What the page shows in galleries."""
    groups = [
        (reason, count, samples.of(reason))
        for reason, count in sorted(numbers.reasons.items(), key=lambda entry: (-entry[1], entry[0]))
    ]
    pictures.add([*samples.of(""), *(row for _, _, rows in groups for row in rows)])
    return {
        "kept": [tile_of(row, pictures) for row in samples.of("")],
        "dropped": [
            {
                "reason": reason, "title": title_of(reason), "count": count, "rule": rule_of(reason, recipe),
                "open": place < _OPEN,
                "examples": [tile_of(row, pictures, numbers) for row in rows],
            }
            for place, (reason, count, rows) in enumerate(groups)
        ],
    }  # fmt: skip


def _funnel(corpus: Manifest) -> list[dict[str, Any]]:
    """What went into every stage and came out, as shares of all pairs, and what was dropped by reason."""
    pairs = corpus.document["totals"]["pairs"] or 1
    characters = {stage.name: stage.character for stage in FUNNEL}
    return [
        {
            **step,
            "character": characters[step["name"]],
            "fell": step["in"] - step["out"],
            "share": 100 * step["out"] / pairs,
            "fell_share": 100 * (step["in"] - step["out"]) / pairs,
            "reasons": sorted(
                ((title_of(reason), count) for reason, count in step["dropped"].items()),
                key=lambda entry: (-entry[1], entry[0]),
            ),
        }
        for step in corpus.document["lineage"]["steps"]
        if step["name"] in STAGES
    ]


def _sources(corpus: Manifest, numbers: Numbers) -> list[dict[str, Any]]:
    listed = corpus.document["licenses"]
    found = []
    for name in dict.fromkeys([entry["source"] for entry in listed] + sorted(numbers.sources)):
        if (about := numbers.sources.get(name)) is None:
            continue
        main = sorted(about.reasons.items(), key=lambda entry: (-entry[1], entry[0]))[:_REASONS_SHOWN]
        mine = [entry for entry in listed if entry["source"] == name]
        found.append({
            "name": name, "about": about, "side": about.sides.quantile(0.5),
            "reasons": [(title_of(reason), count) for reason, count in main],
            "licenses": [entry["license"] for entry in mine],
            "attributions": list(dict.fromkeys(entry["attribution"] for entry in mine if entry["attribution"])),
        })  # fmt: skip
    return found


def _formats(numbers: Numbers) -> list[tuple[str, int, int]]:
    """Format, dropped, kept; the rare ones together."""
    found = [(name, dropped, kept) for name, (dropped, kept) in numbers.formats.items()]
    found.sort(key=lambda entry: (-entry[1] - entry[2], entry[0]))
    rare = found[_FORMATS_SHOWN:]
    others = (f"{len(rare)} others", sum(dropped for _, dropped, _ in rare), sum(kept for _, _, kept in rare))
    return [*found[:_FORMATS_SHOWN], others] if rare else found


def _licenses(corpus: Manifest) -> list[dict[str, Any]]:
    """By licence, with the sources that are under it; the most pairs first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in corpus.document["licenses"]:
        found.setdefault(entry["license"], []).append(entry)
    listed = [
        {"license": words, "samples": sum(entry["samples"] for entry in entries), "sources": entries}
        for words, entries in found.items()
    ]
    return sorted(listed, key=lambda entry: (-entry["samples"], entry["license"]))


def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    pages = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True,
        finalize=lambda value: plain(value) if type(value) is str else value,  # what is Markup was made here
    )  # fmt: skip
    pages.filters["n"] = "{:,}".format
    pages.filters["percent"] = lambda share: f"{share:.1f}%" if share == 0 or share >= 0.1 else "< 0.1%"
    return pages.get_template("report.html")
