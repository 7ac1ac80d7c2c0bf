"""Which module reads the pictures of a source, by the name that its root has.

reader_module("tar")       # ".archives.tar", in this package
reader_path("tar")         # "pipeline/sources/archives/tar.py": the file that a part names, for the fingerprint
"""

from importlib.util import find_spec

# A name with a dot is that of a module outside of this room.
READERS = {
    "folder": "folders.folder",
    "tar": "archives.tar",
    "parquet": "tables.parquet",
    "chinese_clip": "chinese_clip.chinese_clip",
}


def reader_module(reader: str) -> str:
    return reader if "." in reader else f".{READERS[reader]}"


def reader_path(reader: str) -> str:
    """The file of a reader's module: below the package, or the whole path of a module that is not of this room."""
    if "." not in reader:
        return f"pipeline/sources/{READERS[reader].replace('.', '/')}.py"
    spec = find_spec(reader)
    assert spec is not None and spec.origin is not None
    return spec.origin
