#!/bin/sh
# Check and measure the kernels on a GPU machine that has torch and triton but not memagent:
#   sh benchmarks/gpu.sh [tiny|full]
# writes kernels.json and kernels.png to $OUT (default: benchmarks/results).
set -eu
ROOT=$(cd "$(dirname "$0")/.." && pwd)
OUT=${OUT:-$ROOT/benchmarks/results}
PYTHON=${PYTHON:-python3}
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)

# The checkout works without installation. Run outside of it, so that its folder `kernels` does not
# hide the distribution of that name, which Transformers may import.
export PYTHONPATH="$ROOT:$ROOT/benchmarks" PYTHONDONTWRITEBYTECODE=1
cd "$OUT"

# The common conftest needs a store and an embedder, so it is not loaded.
if [ -d "$ROOT/tests/kernels" ] && "$PYTHON" -c "import pytest" 2>/dev/null; then
    "$PYTHON" -m pytest -q --noconftest -p no:cacheprovider -c "$ROOT/pyproject.toml" \
        --rootdir "$ROOT" -o filterwarnings=default -k "bf16 or gpu or bfloat16" \
        "$ROOT/tests/kernels" || [ $? -eq 5 ] # 5: no tests were collected
fi

"$PYTHON" - "${1:-full}" "$OUT" <<'PROGRAM'
import sys
from pathlib import Path

from memagent.errors import InputError, MemagentError
from memagent_bench.kernels.measure import measure, plot
from memagent_bench.report import save

size, out = sys.argv[1], Path(sys.argv[2])
try:
    value = measure(size, tell=lambda line: print(line, file=sys.stderr, flush=True)).as_object()
except MemagentError as error:
    sys.exit(f"gpu.sh: {error}")
print(save(value, out))
try:
    print(plot(value, out))
except InputError as error:
    print(error)
print(value["device"])
for name, number in value["metrics"].items():
    print(f"{name:36} {number:g}")
for row in value["rows"]:
    if row["name"] == "goal":
        print(f"goal {row['metric']}: {row['value']:g}, required {row['must']:g}, met: {row['met']}")
for note in value["notes"]:
    print(note)
PROGRAM
