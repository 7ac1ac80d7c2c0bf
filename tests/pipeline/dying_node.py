"""A script: build a corpus on a Ray cluster of three nodes, one of which is killed in the middle.

    python dying_node.py RECIPE OUT PARTS_BEFORE_DEATH       # prints a report as JSON

A script and not a test: the cluster must be another than the one that the test session shares.
"""

import json
import sys
import threading
import time
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from tuwen.manifests.run_folders import CorpusFolder
from tuwen.pipeline.corpus import build_corpus
from tuwen.pipeline.executor.ray_cluster import start_cluster
from tuwen.pipeline.executor.stage import StageRun
from tuwen.pipeline.load_recipe import load_recipe


def main(recipe: str, out: Path, parts_before_death: int) -> None:
    memory = 100 * 1024**2
    # By default a dead node is believed to live for a quarter of a minute.
    watch = {"health_check_period_ms": 300, "health_check_failure_threshold": 3, "health_check_timeout_ms": 900}
    head = {"num_cpus": 1, "object_store_memory": memory, "_system_config": watch}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    doomed = cluster.add_node(num_cpus=1, object_store_memory=memory)
    cluster.add_node(num_cpus=1, object_store_memory=memory)
    start_cluster(cluster.address)
    report: dict[str, object] = {"nodes": sum(node["Alive"] for node in ray.nodes())}

    def kill() -> None:
        while len(list((out / "measures" / ".done").glob("*.json"))) < parts_before_death:
            time.sleep(0.02)
        cluster.remove_node(doomed, allow_graceful=False)
        report["parts_done_at_death"] = len(list((out / "measures" / ".done").glob("*.json")))

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    manifest = build_corpus(load_recipe(recipe), CorpusFolder(out), StageRun())
    killer.join()
    while sum(node["Alive"] for node in ray.nodes()) > 2:
        time.sleep(0.1)
    report |= {"id": manifest.id, "nodes_after": sum(node["Alive"] for node in ray.nodes())}
    print(json.dumps(report))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
