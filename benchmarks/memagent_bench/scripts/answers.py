"""One report on runs of `memagent bench answers` with several models or settings.

`python -m memagent_bench.scripts.answers ROWS [ROWS …] > benchmarks/results/answers.json`: each
ROWS is a file that `--rows` wrote. Runs of the same model are told apart by the names of the files.
"""

import json
import sys
from pathlib import Path

from memagent.errors import MemagentError
from memagent_bench.measures.answers.measure import report
from memagent_bench.measures.answers.rows import read_rows
from memagent_bench.report import hash_of


def main(paths: list[Path]) -> None:
    """Print the report as JSON."""
    runs = [read_rows(path) for path in paths]
    data = {"file": ", ".join(path.name for path in paths), "sha256": hash_of(paths)}
    models = [run["model"] for run, _ in runs]
    rows = []
    for path, (run, answers) in zip(paths, runs, strict=True):
        alone = models.count(run["model"]) == 1
        label = run["model"] if alone else f"{run['model']} ({path.stem})"
        rows += [{**row, "model": label} for row in answers]
    setups = [f"Run: {json.dumps(run)}" for run, _ in runs]
    print(json.dumps(report(data, rows, setups, "product").as_object(), indent=2))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        main([Path(name) for name in sys.argv[1:]])
    except MemagentError as error:
        sys.exit(str(error))
