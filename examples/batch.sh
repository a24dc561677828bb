#!/bin/sh
# A scripted batch; killed and started again with --resume it goes on where it stopped.
set -eu
folder=$(mktemp -d)
export MEMAGENT_STORE="$folder/memory.db" MEMAGENT_ENGINE=pocket
memagent run "$(dirname "$0")/batch.jsonl" --out "$folder/results.jsonl" --resume
cat "$folder/results.jsonl"
