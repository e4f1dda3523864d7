"""Logs of a harness: a line of JSON for each answer, under a first line that names model and method."""

import json

import pandas as pd


class Harness:
    """Reads ``.harness`` files; levels stand in percent there."""

    name = "harness"

    def recognises(self, path):
        return path.suffix == ".harness"

    def read(self, path):
        head, *lines = (json.loads(line) for line in path.read_text().splitlines())
        table = pd.DataFrame(lines).rename(columns={"doc": "item_id", "acc": "score", "set": "task"})
        dense = table["pct"] == 0
        return table.drop(columns="pct").assign(
            model=head["model"],
            sparsifier=dense.map({True: "dense", False: head["method"]}),
            sparsity_requested=table["pct"] / 100,
            task_type="other",
        )
