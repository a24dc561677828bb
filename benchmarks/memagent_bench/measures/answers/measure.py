"""Right answers end to end with a real engine: the product, no memory, newest text, plain top-k.

Each store is filled once as the product fills it. The text that users said in chats is stored
without answers, so that a store does not depend on the engine and can be kept for other runs.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memagent.agent.workspace import Workspace
from memagent.api import Memory
from memagent.errors import MemagentError, UsageError
from memagent.settings import Settings
from memagent_bench.measures.answers.arms import ARMS, Asker
from memagent_bench.measures.answers.corpora import Corpus, read_corpora, sampled
from memagent_bench.measures.answers.figures import figures, gains, metrics, summary
from memagent_bench.measures.answers.rows import Rows
from memagent_bench.measures.answers.scoring import Question, score
from memagent_bench.report import Report, hash_of

__all__ = ["Plan", "measure", "report"]

# Questions that fail in a row before the run ends: the server is gone.
_MOST_FAILURES = 3
# Settings that decide what a store holds.
_OF_STORES = ("embedder", "segmenter", "scorer")
# Settings that say where things are, or must not be shown.
_UNSAID = ("store", "api_key", "url", "model", "engine", "script")

Tell = Callable[[str], None]

_NOTES = (
    "product: memagent as a user has it. none: the question alone. newest: the newest text that "
    "fits the budget. topk: passages of 100 words, or turns, nearest to the question by their "
    "vectors, within the budget. The last two: “Answer the question from the passages.”",
    "right: the right words near the beginning of the answer (desk sets: the rules of each "
    "question). exact, f1: exact match and word F1 (SQuAD); a refusal counts as empty. QMSum "
    "has f1 only. right_refusal, false_answer: of questions that the store cannot answer.",
    "cited: answers whose citations hold all evidence; shown: prompts that do. "
    "prompt_tokens, answer_tokens, seconds: medians over questions, of all calls for one.",
    "Intervals are 95 %: Wilson for shares, bootstrap over questions for exact, f1 and gain.",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. `limit` is the number of questions of each set; `keep` is a folder for
    filled stores, and `rows` a file for the answers, which `resume` goes on with."""

    data: Sequence[Path]
    arms: Sequence[str] = tuple(ARMS)
    limit: int | None = None
    keep: Path | None = None
    rows: Path | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        unknown = [arm for arm in self.arms if arm not in ARMS]
        if unknown or not self.arms:
            raise UsageError(
                f"--arms takes some of {', '.join(ARMS)}, separated by commas, "
                f"not {', '.join(unknown) or 'nothing'}"
            )


def measure(workspace: Workspace, plan: Plan, *, tell: Tell = lambda line: None) -> Report:
    """Ask the engine of `workspace` every question with every arm.

    Raises InputError for data of another format, UsageError for a plan that does not fit, and
    EngineError if the server is gone.
    """
    engine = workspace.engine
    if not engine.capabilities.generates and set(plan.arms) != {"product"}:
        raise UsageError(
            f"{engine.name} only quotes: give --arms product, or an engine that writes answers"
        )
    sets = [(path, *read_corpora(path)) for path in plan.data]
    with closing(Rows(plan.rows, _run_of(workspace), resume=plan.resume)) as rows:
        for path, name, corpora in sets:
            for corpus in sampled(corpora, plan.limit):
                missing = _missing(rows, name, corpus, plan.arms)
                if not any(missing.values()):
                    continue
                with _opened(workspace, plan.keep, path, corpus, tell) as memory:
                    asker = Asker(memory)
                    for arm, questions in missing.items():
                        _ask(asker, rows, name, arm, questions, tell)
    about = {"file": ", ".join(path.name for path in plan.data), "sha256": hash_of(plan.data)}
    return report(about, [*rows.done.values()], (_setup(workspace),), base=plan.arms[0])


def report(
    data: Mapping[str, str], rows: Sequence[Mapping[str, Any]], setups: Sequence[str], base: str
) -> Report:
    """The report on answers of one or several models; gains are those of the arm `base`."""
    table = figures(rows)
    table += [*gains(rows, base), *summary(table)]
    return Report("answers", data, metrics(table), table, (*setups, *_NOTES))


def _missing(
    rows: Rows, name: str, corpus: Corpus, arms: Sequence[str]
) -> dict[str, list[Question]]:
    return {
        arm: [each for each in corpus.questions if not rows.has(name, arm, each.id)] for arm in arms
    }


def _ask(
    asker: Asker, rows: Rows, name: str, arm: str, questions: Sequence[Question], tell: Tell
) -> None:
    failures = 0
    for number, question in enumerate(questions, start=1):
        row: dict[str, Any] = {"model": asker.engine.model, "set": name, "arm": arm}
        row |= {"id": question.id, "kind": question.kind, "question": question.text}
        began = time.perf_counter()
        try:
            reply = ARMS[arm](asker, question)
        except MemagentError as error:
            failures += 1
            if failures == _MOST_FAILURES:
                raise
            row |= {"verdict": "failed", "error": str(error)}
        else:
            failures = 0
            row |= {"text": reply.text, **score(question, reply), "ended": reply.ended}
            row |= {"prompt": reply.prompt, "completion": reply.completion}
        row["seconds"] = round(time.perf_counter() - began, 2)
        rows.add(row)
        tell(f"{name}, {arm}, {number} of {len(questions)}: {question.id} {row['verdict']}")


@contextmanager
def _opened(
    workspace: Workspace, keep: Path | None, path: Path, corpus: Corpus, tell: Tell
) -> Iterator[Memory]:
    """A copy of the filled store, so that the questions asked do not stay in the one kept."""
    with tempfile.TemporaryDirectory(prefix="memagent-bench-") as folder:
        home = Path(folder) / "store"
        kept = keep / _store_name(workspace.settings, path, corpus) if keep else None
        if kept is None or not kept.is_dir():
            tell(f"filling the store of {corpus.name}")
            with _memory(workspace, home) as memory:
                corpus.fill(memory)
                memory.namespace.catch_up()
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                copy = kept.with_name(kept.name + ".part")
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(home, copy)
                copy.rename(kept)
        else:
            shutil.copytree(kept, home)
        with _memory(workspace, home) as memory:
            yield memory


def _memory(workspace: Workspace, folder: Path) -> Memory:
    folder.mkdir(parents=True, exist_ok=True)
    settings = workspace.settings.model_copy(update={"store": folder / "memory.db"})
    return Memory(Workspace(settings, engine=workspace.engine, embedder=workspace.embedder))


def _store_name(settings: Settings, path: Path, corpus: Corpus) -> str:
    about = [hash_of([path]), *(str(getattr(settings, name)) for name in _OF_STORES)]
    return f"{corpus.name}-{hashlib.sha256(' '.join(about).encode()).hexdigest()[:12]}"


def _run_of(workspace: Workspace) -> dict[str, Any]:
    """What answers depend on: engine, model, context and the settings that were changed."""
    engine, default = workspace.engine, Settings().model_dump(mode="json")
    changed = {
        name: value
        for name, value in workspace.settings.model_dump(mode="json").items()
        if name not in _UNSAID and value != default[name]
    }
    run = {"engine": engine.name, "model": engine.model, "context": engine.context}
    return {**run, "settings": changed}


def _setup(workspace: Workspace) -> str:
    run, settings = _run_of(workspace), workspace.settings
    server = getattr(workspace.engine, "url", "in this process")
    said = ", ".join(f"{name}={value}" for name, value in run["settings"].items()) or "the defaults"
    return (
        f"Engine {run['engine']}: {run['model']}, {server}, a context of {run['context']} tokens. "
        f"Settings: {said}; max_tokens={settings.max_tokens}, "
        f"temperature={settings.temperature}, budget={settings.budget} for passages."
    )
