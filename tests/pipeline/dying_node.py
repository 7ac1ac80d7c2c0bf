"""A script: a corpus, then its shards, on a Ray cluster of three nodes, one of which is killed in the middle of each.

    python dying_node.py RECIPE CORPUS SHARDS TEXT_MODEL PARTS_BEFORE_DEATH       # prints a report as JSON

A script and not a test: the cluster must be another than the one that the test session shares.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from tuwen.manifests.manifest import Manifest
from tuwen.manifests.run_folders import CorpusFolder, ShardsFolder
from tuwen.pipeline.corpus import build_corpus
from tuwen.pipeline.executor.ray_cluster import start_cluster
from tuwen.pipeline.executor.stage import StageRun
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.tokenize.encode.write_shards import write_shards

MEMORY_BYTES = 100 * 1024**2


def main(recipe_path: str, corpus_out: Path, shards_out: Path, text_model: Path, parts_before_death: int) -> None:
    # By default a dead node is believed to live for a quarter of a minute.
    watch = {"health_check_period_ms": 300, "health_check_failure_threshold": 3, "health_check_timeout_ms": 900}
    head = {"num_cpus": 1, "object_store_memory": MEMORY_BYTES, "_system_config": watch}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=1, object_store_memory=MEMORY_BYTES)
    start_cluster(cluster.address)
    recipe = load_recipe(recipe_path)

    def disturbed(done: Path, work: Callable[[], Manifest]) -> dict[str, object]:
        """Run `work` with a third node, which dies when so many parts have left their markers in `done`."""
        doomed = cluster.add_node(num_cpus=1, object_store_memory=MEMORY_BYTES)
        report: dict[str, object] = {"nodes": num_alive()}

        def kill() -> None:
            while len(list(done.glob("*.json"))) < parts_before_death:
                time.sleep(0.02)
            cluster.remove_node(doomed, allow_graceful=False)
            report["parts_done_at_death"] = len(list(done.glob("*.json")))

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        report["id"] = work().id
        killer.join()
        while num_alive() > 2:
            time.sleep(0.1)
        return report

    corpus = disturbed(
        corpus_out / "measures" / ".done", lambda: build_corpus(recipe, CorpusFolder(corpus_out), StageRun())
    )
    built = build_corpus(recipe, CorpusFolder(corpus_out), StageRun())
    shards = disturbed(
        shards_out / ".done", lambda: write_shards(recipe, built, text_model, ShardsFolder(shards_out), StageRun())
    )
    print(json.dumps({"corpus": corpus, "shards": shards}))
    ray.shutdown()
    cluster.shutdown()


def num_alive() -> int:
    return sum(node["Alive"] for node in ray.nodes())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5]))
