#!/bin/sh
# Add a whole book to memory and ask questions about it: the language reference that comes with
# Python, about 100,000 tokens. Nothing is downloaded.
set -eu
folder=${DEMO:-.demo}
mkdir -p "$folder"
export MEMAGENT_STORE="$folder/memory.db" MEMAGENT_STATE="$folder/state" MEMAGENT_NAMESPACE=demo

show() {
    printf '\n$ memagent' >&2
    for word in "$@"; do case $word in *' '*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac; done >&2
    printf '\n' >&2
    memagent "$@"
}

python "$(dirname "$0")/write_book.py" "$folder/python-reference.md"
show add "$folder/python-reference.md" --name python-reference.md
show ask "What does the nonlocal statement do?"
show ask "When is the finally clause of a try statement executed?"
show ask "How are chained comparisons evaluated?"
show ask "Who won the football match on Sunday?"
show search "matching a mapping in a case block" --limit 2
printf '\nThe text is stored in %s. Continue with:\n' "$MEMAGENT_STORE" >&2
printf '  MEMAGENT_STORE=%s MEMAGENT_NAMESPACE=demo .venv/bin/memagent chat\n' "$MEMAGENT_STORE" >&2
