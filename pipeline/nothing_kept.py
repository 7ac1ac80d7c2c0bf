"""No pair of a corpus is kept: the most frequent reason, its rule, the first pair that fell for it, and what helps.

raise NothingKept(manifest)       # its verdicts and its manifest are written, so that they can be looked at
raise no_pair(corpus, facts)      # there is not even a pair to decide on
"""

from collections.abc import Mapping

import pyarrow.compute as pc

from ..manifests.counted import counted
from ..manifests.documents import SourceFacts
from ..manifests.errors import BadInput
from ..manifests.manifest import Manifest
from ..manifests.run_folders import CorpusFolder
from .corpus_files.verdicts import verdict_parts
from .corpus_result import ReasonCount, passed_by_source, reason_counts
from .reasons import Row
from .sources.passed_over import passed_line

_COLUMNS = ["key", "source", "origin", "url", "kept", "stage", "reason"]

# Where each kind of source looks for captions.
_CAPTIONS = {
    "folder": "captions.tsv or captions.jsonl, metadata.csv, .jsonl or .parquet, meta_cap.json, a .txt, .caption or "
    ".json beside each picture, and the files that `captions:` names",
    "webdataset": "a .txt or a .json beside each picture, of the same name, and the files that `captions:` names",
    "parquet": "the column that `caption:` names",
    "urls": "the column that `caption:` names",
}


class NothingKept(BadInput):
    def __init__(self, corpus: Manifest) -> None:
        reason = reason_counts(corpus)[0]
        first = _first_dropped(corpus, reason["reason"])
        rule = f" ({reason['rule']})" if reason["rule"] else ""
        pairs = counted(corpus.totals["pairs"], "pair")
        problem = (
            f"{corpus.folder}: no pair is left of {pairs}: {reason['pairs']:,} {_fell(reason)} `{reason['reason']}`"
            f"{rule}, first {first['url'] or first['origin']} of {first['source']}"
        )
        super().__init__(problem, _cure(corpus, reason, first))

    def __reduce__(self) -> tuple[type[BadInput], tuple[str, str]]:
        return BadInput, (self.problem, self.cure)


def no_pair(corpus: CorpusFolder, facts: Mapping[str, SourceFacts]) -> BadInput:
    passed = [passed_line(name, each) for name, each in passed_by_source(facts).items()]
    return BadInput(
        " · ".join([f"{corpus.path}: the sources hold no pair", *passed]),
        cure="check the paths and captions of the recipe",
    )


def _fell(reason: ReasonCount) -> str:
    return "fell for" if reason["pairs"] > 1 else "falls for"


def _first_dropped(corpus: Manifest, reason: str) -> Row:
    for table in verdict_parts(corpus, _COLUMNS):
        rows: list[Row] = table.filter(pc.equal(table["reason"], reason)).slice(0, 1).to_pylist()
        if rows:
            return rows[0]
    raise AssertionError("the manifest counts what the decision table has")


def _cure(corpus: Manifest, reason: ReasonCount, first: Row) -> str:
    name, source = reason["reason"], first["source"]
    if first["stage"] in ("evaluation", "earlier"):
        return "nothing here is new: add another source"
    if name in ("no_caption", "empty_caption"):
        sections = corpus.document["lineage"]["recipe"]["sources"]
        kind = next((section["kind"] for section in sections if section["name"] == source), "")
        return (
            f"its captions are looked for in {_CAPTIONS[kind]}" if kind in _CAPTIONS else "add captions to the source"
        )
    if name == "missing_picture":
        return "it has a caption, and no picture has that name: correct the names, or the `path` of the source"
    if name == "private_address":
        return f"to fetch from a network of yours, give {source} `fetch: {{allow_addresses: [10.1.0.0/16]}}`"
    if name in ("robots_disallowed", "robots_tag"):
        return "ask the owners of the sites, or take other addresses"
    if reason["key"]:
        return f"give `{reason['key']}` another value, in the recipe or by --set {reason['key']}=…"
    if first["stage"] == "fetch":
        return "open it in a browser; the same command tries again what may pass"
    return f"`tuwen why {corpus.folder} {first['key'][:12]}` has all that is known of it"
