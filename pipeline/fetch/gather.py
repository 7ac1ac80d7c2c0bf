"""`kind: urls`: lists of addresses → tars of pictures with their ledgers, in two stages.

    gather_urls(source, Path("data/wukong"), Path("runs/x/corpus/pictures/wukong"), workers=None)

list: each list file is cut into slices of 5,000 rows, `lists/NAME-00003.parquet`. fetch: each slice becomes
`NAME-00003.tar`, read afterwards as any WebDataset source, and `NAME-00003.parquet`, its ledger. Whatever was had is
never fetched again; each run of the command tries once more what failed and may pass, and touches nothing else.
"""

import shutil
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from ...manifests.recipe.sources import Fetch, UrlsSource
from ..executor.part import Part, PartResult
from ..executor.ray_cluster import num_cpus
from ..executor.stage import run_stage
from .ledger import ledger_facts
from .proxy import proxies
from .robots_rules import AGENT
from .slices import fetch_slice
from .url_lists import cut_list, list_files

SLICE_ROWS = 5000


def gather_urls(source: UrlsSource, path: Path, folder: Path, workers: int | None) -> None:
    """Raises BadInput on a list that is missing, cannot be read, or whose columns cannot be told."""
    proxies()
    lists = list_files(source, path)
    sliced = run_stage(f"list {source.name}", cut_list, lists, {"rows": SLICE_ROWS}, folder / "lists", workers=workers)
    rules = _rules(source.fetch)
    facts = {slice_["name"]: ledger_facts(folder / slice_["name"]) for result in sliced for slice_ in result.files}
    todo = sum(said is None or said["may_pass"] > 0 or said["rules"] != rules for said in facts.values())
    tasks = max(1, min(todo, source.fetch.per_host_in_flight, workers or num_cpus()))
    politeness = _politeness(source.fetch, tasks)
    parts = [_part(folder, slice_, facts[slice_["name"]], politeness) for result in sliced for slice_ in result.files]
    results = run_stage(f"fetch {source.name}", fetch_slice, parts, rules, folder, workers=tasks)
    shutil.rmtree(folder / "spool", ignore_errors=True)  # what killed tries of parts that are gone have left
    _tell(source.name, results)


def _part(folder: Path, slice_: dict[str, Any], facts: dict[str, Any] | None, politeness: dict[str, Any]) -> Part:
    """`run` asks for a part again as long as something in it may pass: its number is in the ledger that it leaves."""
    run = 1 if facts is None else facts["run"] + (facts["may_pass"] > 0)
    root = folder.resolve()
    place = {"slice": str(root / "lists" / slice_["name"]), "earlier": str(root), "spool": str(root / "spool"),
             "politeness": politeness}  # fmt: skip
    return Part(slice_["name"].removesuffix(".parquet"), {"slice": slice_["sha256"], "run": run}, place)


def _rules(fetch: Fetch) -> dict[str, Any]:
    """What may be had at all: another rule is another result."""
    return {
        "robots": fetch.robots,
        "robots_tag": fetch.robots_tag,
        "max_bytes": fetch.max_bytes,
        "allow_addresses": list(fetch.allow_addresses),
    }


def _politeness(fetch: Fetch, tasks: int) -> dict[str, Any]:
    """How fast; no part of any identity. A host's limits hold for the whole run, so each task at a time has its share.

    There are never more tasks than requests that a host may have in flight: a share is at least one whole request.
    """
    return {
        "user_agent": f"{AGENT}/{metadata.version('tuwen')} (+{fetch.contact})",
        "in_flight": fetch.in_flight,
        "per_host_in_flight": fetch.per_host_in_flight // tasks,
        "per_host_per_second": fetch.per_host_per_second / tasks,
        "tasks": tasks,
        "deadline_seconds": fetch.deadline_seconds,
        "attempts": fetch.attempts,
    }


def _tell(name: str, results: Iterable[PartResult]) -> None:
    counts = [result.summary for result in results]
    rows, pictures, may_pass = (sum(count[key] for count in counts) for key in ("rows", "pictures", "may_pass"))
    said = f"fetch {name}: {pictures:,} pictures of {rows:,} addresses"
    if may_pass:
        said += f"; {may_pass:,} failures may pass: give the command again to try them once more"
    print(said, file=sys.stderr, flush=True)
