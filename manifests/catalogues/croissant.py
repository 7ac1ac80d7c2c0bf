"""The Croissant 1.1 description of a folder of WebDataset tars, for data set catalogues.

    document = croissant("emoji", tars=[Tar("train-00000.tar", "sha256:…", 20480, "train")], members={…}, …)

Record set `samples` has the key and every member of each sample; a record set for each split has key and split.
mlcroissant joins two sources at a time, returns the members of a tar as bytes, and caches unpacked tars by their file
name alone: set CROISSANT_CACHE for each data set.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..documents import Json


@dataclass(frozen=True)
class Tar:
    name: str
    sha256: str
    num_bytes: int
    split: str


@dataclass(frozen=True)
class Member:
    """A member of each sample: a file with one extension, or with one of several, such as `jpg png`."""

    extension: str
    media_type: str
    text: str


def croissant(
    name: str, *, description: str, licenses: list[str], attribution: str, version: str, date: str,
    tars: list[Tar], members: dict[str, Member],
) -> Json:  # fmt: skip
    """Return the JSON-LD. `members` are keyed by field name; `licenses` are SPDX identifiers, URLs or words."""
    splits = sorted({tar.split for tar in tars})
    first, *_ = members
    file_sets = [_file_set(part, member, tars) for part, member in members.items()]
    records = [_records(part, [_key(part, part), _content(part, part, member)]) for part, member in members.items()]
    for split in splits:
        label = f"split-{split}"
        file_sets.append(_file_set(label, members[first], [tar for tar in tars if tar.split == split]))
        records.append(_records(label, [_key(label, label), _field(label, "split", "The split.", value=split)]))
    return {
        "@context": json.loads((Path(__file__).parent / "croissant_context.json").read_text(encoding="utf-8")),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": name,
        "description": description,
        "license": [_license(words) for words in licenses],
        "version": version,
        "datePublished": date,
        "creator": {"@type": "Organization", "name": attribution or "unknown"},
        "citeAs": f"@misc{{{name}, title={{{name}}}, author={{{{{attribution or 'unknown'}}}}}, year={{{date[:4]}}}}}",
        "distribution": [*map(_file_object, tars), *file_sets],
        "recordSet": [*records, *_joined("samples", members)],
    }


def _license(words: str) -> str:
    is_identifier = re.fullmatch(r"[A-Za-z]+[A-Za-z0-9]*-[A-Za-z0-9.+-]+", words)
    return f"https://spdx.org/licenses/{words}.html" if is_identifier else words


def _file_object(tar: Tar) -> Json:
    return {
        "@type": "cr:FileObject",
        "@id": tar.name,
        "name": tar.name,
        "contentUrl": tar.name,
        "contentSize": f"{tar.num_bytes} B",
        "encodingFormat": "application/x-tar",
        "sha256": tar.sha256.removeprefix("sha256:"),
    }


def _file_set(label: str, member: Member, tars: list[Tar]) -> Json:
    return {
        "@type": "cr:FileSet",
        "@id": f"{label}-files",
        "name": f"{label}-files",
        "containedIn": [{"@id": tar.name} for tar in tars],
        "encodingFormat": member.media_type,
        "includes": [f"*.{extension}" for extension in member.extension.split()],
    }


def _records(name: str, fields: list[Json]) -> Json:
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "key": {"@id": f"{name}/key"}, "field": fields}


def _field(records: str, name: str, text: str, **source: Any) -> Json:
    field = {"@type": "cr:Field", "@id": f"{records}/{name}", "name": name, "description": text}
    return {**field, "dataType": "sc:Text", **source}


def _key(records: str, label: str) -> Json:
    source = {
        "fileSet": {"@id": f"{label}-files"},
        "extract": {"fileProperty": "filename"},
        "transform": {"regex": r"^([0-9a-f]{32})\."},
    }
    return _field(records, "key", "The sample's key.", source=source)


def _content(records: str, part: str, member: Member) -> Json:
    source = {"fileSet": {"@id": f"{part}-files"}, "extract": {"fileProperty": "content"}}
    return _field(records, part, member.text, source=source)


def _joined(name: str, members: dict[str, Member]) -> list[Json]:
    """Return record sets that join those of the single members on the key, two at a time."""
    parts = list(members)
    made: list[Json] = []
    left = parts[0]
    for number, right in enumerate(parts[1:], start=1):
        target = name if number == len(parts) - 1 else "-".join(parts[: number + 1])
        on = {"source": {"field": {"@id": f"{left}/key"}}, "references": {"field": {"@id": f"{right}/key"}}}
        fields = [_field(target, "key", "The sample's key.", **on)]
        for part in parts[: number + 1]:
            origin = right if part == right else left
            fields.append(_field(target, part, members[part].text, source={"field": {"@id": f"{origin}/{part}"}}))
        made.append(_records(target, fields))
        left = target
    return made
