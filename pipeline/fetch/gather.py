"""`kind: urls`: lists of addresses → tars of pictures with their ledgers, in three stages.

    gather_urls(section, Path("data/wukong"), Path("runs/x/corpus/pictures/wukong"), run, rules)

list: each list file is cut into slices of 5,000 rows, `lists/NAME-00003.parquet`. rows: what falls whatever its picture
is marked, `wanted/NAME-00003.parquet`. fetch: each slice becomes `NAME-00003.tar`, read afterwards as any WebDataset
source, and `NAME-00003.parquet`, its ledger. A picture is fetched once. Each run of the command tries again the
failures that may pass, and touches nothing else. `listing.json` says what was read as what.
"""

import shutil
import sys
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from ...manifests.canonical import sha256_of_file
from ...manifests.documents import FileEntry
from ..executor.part import InputFile, Part
from ..executor.ray_cluster import num_cpus
from ..executor.stage import Stage, StageRun, run_stage
from ..sources.source import SourceListing
from .cut_list import ListConfig, cut_list
from .fetch_slice import ASIDE, FetchConfig, SlicePart, fetch_slice
from .find_lists import find_lists
from .judge_rows import RowRules, judge_rows
from .ledger import FetchCounts, LedgerFacts, Rules, ledger_facts
from .listing_file import write_listing
from .polite_http import Pace
from .proxy import proxies
from .robots_rules import AGENT
from .urls_section import Fetch, UrlsSource

SLICE_ROWS = 5000

LIST = Stage("list", cut_list, libraries=("pyarrow",), unhashed=("folder",))
ROWS = Stage("rows", judge_rows, libraries=("pyarrow", "opencc", "ftfy", "py3langid", "rjieba", "pyahocorasick"))
FETCH = Stage("fetch", fetch_slice, libraries=("aiohttp",), unhashed=("pace", "previous", "spool"))


@dataclass(frozen=True)
class PairRules:
    """The rules that condemn a pair whatever its picture is."""

    rules: RowRules
    words: Path | None  # the user's word list


def gather_urls(
    section: UrlsSource, path: Path, folder: Path, run: StageRun, pair_rules: PairRules | None = None
) -> None:
    """Without `pair_rules` all pictures are fetched, as evaluation wants them: it matches pictures, not pairs.

    Raises BadInput on a list that is missing, cannot be read, or whose columns are not clear.
    """
    listing, name = check_lists(section, path), section.name
    cut = ListConfig(rows=SLICE_ROWS, folder=str(path.resolve()))
    sliced = run_stage(LIST, listing.parts, cut, folder / "lists", run, label=f"list {name}")
    write_listing(folder, listing)
    slices = _slices([file for result in sliced for file in result.files], folder.resolve() / "lists")
    if pair_rules is not None:
        slices = _wanted(slices, pair_rules, folder.resolve() / "wanted", name, run)
    facts = {slice_: ledger_facts(folder / f"{slice_}.parquet") for slice_ in slices}
    rules = _rules(section.fetch)
    todo = sum(fact is None or fact["may_pass"] > 0 or fact["rules"] != rules for fact in facts.values())
    tasks = max(1, min(todo, section.fetch.per_host_in_flight, run.workers or num_cpus()))
    root = folder.resolve()
    config = FetchConfig(rules=rules, pace=_pace(section.fetch, tasks), previous=str(root), spool=str(root / "spool"))
    parts = [_part(slice_, file, facts[slice_]) for slice_, file in slices.items()]
    results = run_stage(FETCH, parts, config, folder, replace(run, workers=tasks), label=f"fetch {name}")
    shutil.rmtree(folder / "spool", ignore_errors=True)  # what killed tries of parts that are gone have left
    for path in (folder / ASIDE).glob("*.spool"):
        if path.name.partition(".")[0] not in slices:  # its list is gone
            path.unlink()
    _report(name, [result.summary for result in results])


def check_lists(section: UrlsSource, path: Path) -> SourceListing:
    """What can be known before the first request. Raises BadInput."""
    proxies()
    return find_lists(section, path)


def _slices(files: list[FileEntry], folder: Path) -> dict[str, InputFile]:
    """The slices by the names of their parts."""
    return {
        file.name.removesuffix(".parquet"): InputFile(str(folder / file.name), file.sha256, is_result=True)
        for file in files
    }


def _wanted(
    slices: dict[str, InputFile], pair_rules: PairRules, folder: Path, name: str, run: StageRun
) -> dict[str, InputFile]:
    words = pair_rules.words
    more = {"words": InputFile(str(words), sha256_of_file(words))} if words else {}
    parts = [Part(slice_, None, {"slice": file, **more}) for slice_, file in slices.items()]
    judged = run_stage(ROWS, parts, pair_rules.rules, folder, run, label=f"rows {name}")
    return {result.name: result.file(folder) for result in judged}


def _part(name: str, slice_: InputFile, facts: LedgerFacts | None) -> Part[SlicePart]:
    """`run` is hashed, so that a part runs again as long as something in it may pass. The ledger records it."""
    run = 1 if facts is None else facts["run"] + (facts["may_pass"] > 0)
    return Part(name, SlicePart(run=run), {"slice": slice_})


def _rules(fetch: Fetch) -> Rules:
    return Rules(
        robots=fetch.robots,
        robots_tag=fetch.robots_tag,
        max_bytes=fetch.max_bytes,
        allow_addresses=list(fetch.allow_addresses),
    )


def _pace(fetch: Fetch, tasks: int) -> Pace:
    """The share of one task in the limits of a host, which hold for the whole run.

    No more tasks run at a time than a host may have requests in flight: a share is at least one request.
    """
    return Pace(
        user_agent=f"{AGENT}/{metadata.version('tuwen')} (+{fetch.contact})",
        in_flight=fetch.in_flight,
        per_host_in_flight=fetch.per_host_in_flight // tasks,
        per_host_per_second=fetch.per_host_per_second / tasks,
        tasks=tasks,
        deadline_seconds=fetch.deadline_seconds,
        attempts=fetch.attempts,
    )


def _report(name: str, counts: list[FetchCounts]) -> None:
    rows, pictures = sum(count["rows"] for count in counts), sum(count["pictures"] for count in counts)
    may_pass = sum(count["may_pass"] for count in counts)
    line = f"fetch {name}: {pictures:,} pictures of {rows:,} addresses"
    if unasked := sum(count["not_asked"] for count in counts):
        line += f"; {unasked:,} not asked for, as their rows had fallen already"
    if may_pass:
        line += f"; {may_pass:,} failures may pass: give the command again to try them once more"
    print(line, file=sys.stderr, flush=True)
