#!/bin/sh
# Run a batch. If it is killed, running it again with --resume continues where it stopped.
set -eu
folder=$(mktemp -d)
export MEMAGENT_STORE="$folder/memory.db" MEMAGENT_ENGINE=pocket
memagent run "$(dirname "$0")/batch.jsonl" --out "$folder/results.jsonl" --resume
cat "$folder/results.jsonl"
