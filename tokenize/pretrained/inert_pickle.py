"""What a file of torch.save holds, read without running anything that it asks for.

    document = read_inert(file)
    document["state_dict"]["conv.weight"]        # a tensor
    document["callbacks"]                        # Inert("lightning.…ModelCheckpoint"): nothing was imported or called

A pickle names functions and classes, and has them called. Here each name stands for an `Inert` class that only keeps
what it is given, apart from containers and the functions that rebuild tensors, which this module has of its own.
Both formats are read: zip archives (since torch 1.6), and the older streams.
"""

import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from ...manifests.errors import BadInput

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class Inert:
    """An object of a class that was not loaded: its state, and what was added to it."""

    name = ""

    def __new__(cls, *args: Any, **kwargs: Any) -> "Inert":
        made = super().__new__(cls)
        made.__dict__["state"] = {}
        return made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.__dict__["state"] = state if isinstance(state, dict) else {"state": state}

    def __setitem__(self, key: Any, value: Any) -> None:
        self.__dict__["state"][key] = value

    def append(self, value: Any) -> None:
        self.__dict__["state"][len(self.__dict__["state"])] = value

    def extend(self, values: Any) -> None:
        for value in values:
            self.append(value)


def read_inert(path: Path) -> Any:
    """Raises BadInput when the file is none that torch.save writes."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _of_archive(archive)
        with path.open("rb") as file:
            return _of_stream(file)
    except BadInput:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        problem = " ".join(str(error).split())[:120] or type(error).__name__
        raise BadInput(f"{path}: no file of torch.save ({problem})", cure="get the file again") from None


def _of_archive(archive: zipfile.ZipFile) -> Any:
    pickled = next(name for name in archive.namelist() if name.endswith("data.pkl"))
    root = pickled.removesuffix("data.pkl")
    if f"{root}byteorder" in archive.namelist():
        _check_byte_order(archive.read(f"{root}byteorder").decode())

    def storage(kind: Any, key: str) -> Tensor:
        return _typed(archive.read(f"{root}data/{key}"), kind)

    with archive.open(pickled) as file:
        return _Unpickler(file, storage).load()


def _of_stream(file: IO[bytes]) -> Any:
    """Magic number, version, system, document, keys of the storages, and then their bytes in that order.

    The document refers to storages whose bytes come after it: they are empty at first, and filled at the end.
    """
    if _Unpickler(file, _no_storage).load() != _LEGACY_MAGIC:
        raise ValueError("no magic number")
    _Unpickler(file, _no_storage).load()
    _check_byte_order("little" if _Unpickler(file, _no_storage).load()["little_endian"] else "big")
    storages: dict[str, Tensor] = {}
    sizes: dict[str, int] = {}

    def storage(kind: Any, key: str) -> Tensor:
        return storages[key]

    reader = _Unpickler(file, storage)
    reader.allocate = lambda kind, key, elements: storages.setdefault(key, torch.empty(elements, dtype=kind))
    document = reader.load()
    for key in _Unpickler(file, _no_storage).load():
        sizes[key] = int.from_bytes(file.read(8), "little")
        if sizes[key] != storages[key].numel():
            raise ValueError("a storage has another size")
        data = file.read(sizes[key] * storages[key].element_size())
        storages[key].copy_(_typed(data, storages[key].dtype))
    return document


class _Unpickler(pickle.Unpickler):
    """`storage` returns a storage as a flat tensor, from the type of its elements and its key."""

    allocate: Callable[[torch.dtype, str, int], Tensor] | None = None

    def __init__(self, file: IO[bytes], storage: Callable[[Any, str], Tensor]) -> None:
        super().__init__(file, encoding="latin1")  # some old files were written by Python 2
        self._storage, self._read = storage, dict[str, Tensor]()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        kind = _element_type(name) if module in ("torch", "torch.storage", "torch.cuda") else None
        return kind or type(name.rsplit(".", 1)[-1], (Inert,), {"name": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> Any:
        if pid[0] == "module":  # older streams carry the source of a module's class, which nobody compiles here
            return pid[1]
        _, kind, key, _, elements, *view = pid
        if not isinstance(kind, torch.dtype):
            raise ValueError(f"a storage of {getattr(kind, 'name', kind)}")
        if self.allocate:
            whole = self.allocate(kind, key, elements)
        else:
            whole = self._read[key] = self._read[key] if key in self._read else self._storage(kind, key)
        return whole[view[0][1] : view[0][1] + view[0][2]] if view and view[0] else whole


def _element_type(name: str) -> torch.dtype | None:
    """The type of the elements of a storage class, such as FloatStorage. UntypedStorage counts in bytes."""
    kinds = {"FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "LongStorage": "int64",
             "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
             "BoolStorage": "bool", "BFloat16Storage": "bfloat16", "UntypedStorage": "uint8"}  # fmt: skip
    return getattr(torch, kinds[name]) if name in kinds else None


def _tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    return storage.as_strided(size, stride, offset)  # refuses what lies outside of the storage


def _parameter(tensor: Tensor, *_: Any) -> Tensor:
    return tensor


def _of_type(function: Any, kind: Any, arguments: tuple[Any, ...], state: Any) -> Any:
    return function(*arguments)  # one of this table, or an Inert class: a pickle can name nothing else


_KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _of_type,
}


def _typed(data: bytes, kind: torch.dtype) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=kind) if data else torch.empty(0, dtype=kind)


def _no_storage(kind: Any, key: str) -> Tensor:
    raise ValueError("a tensor where none belongs")


def _check_byte_order(order: str) -> None:
    if order != sys.byteorder:
        raise ValueError(f"written on a {order}-endian machine")
