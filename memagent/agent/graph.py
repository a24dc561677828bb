"""A turn as a LangGraph graph: recall (→ follow-up questions) → gather (→ vote) (→ outline)
→ pack → answer (→ tools → answer) → cite → remember.

The user's words are stored before the graph starts, and the answer before it ends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from memagent.agent.transcript import Log
from memagent.engines.base import Engine
from memagent.memory.events import Filter
from memagent.memory.namespace import Namespace
from memagent.memory.store.locators import events_at
from memagent.settings import Settings
from memagent.types import Answer, Citation, Point, Source, Span, Usage

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

__all__ = ["Agent", "ignore", "load_answer", "refuse"]

logger = logging.getLogger(__name__)


def ignore(text: str) -> None:
    """The default of `on_text`: do nothing."""


def refuse(question: str) -> bool:
    """The default of `confirm`: no user can be asked, so the answer is no."""
    return False


class Agent:
    """Answers turns from one namespace with one engine; by default with one call per turn.

    Logs a warning for each setting that the engine does not support.
    """

    def __init__(self, memory: Namespace, engine: Engine, settings: Settings | None = None) -> None:
        self.memory = memory
        self.engine = engine
        self.settings = settings or Settings()
        for name, lacks in _unsupported(self.settings, engine):
            logger.warning(
                "%s needs %s: continuing without it (memagent doctor shows how to run one)",
                name,
                lacks,
            )
        self._graph: CompiledStateGraph[Any, Any, Any, Any] | None = None

    def answer(
        self,
        question: Span,
        session: Source,
        *,
        log: Log | None = None,
        where: Filter | None = None,
        asked: bool = True,
        on_text: Callable[[str], None] = ignore,
        confirm: Callable[[str], bool] = refuse,
    ) -> Answer:
        """Answer a turn that is already stored. `where` must be resolved.

        `on_text` gets the answer as it streams. On Ctrl-C the part received is returned with the
        state 'partial'; if the server is lost, it is stored and EngineError is raised.
        """
        from memagent.agent.turn import Turn

        answer_id = self.memory.answers.begin(question, self.engine.name)
        log = log or Log()
        turn = Turn(
            self.memory,
            self.engine,
            self.settings,
            session,
            log,
            where or Filter(),
            asked,
            on_text,
            confirm,
        )
        state = {
            "answer_id": answer_id,
            "question": question.text,
            "ordinal": question.ordinal,
            # The conversation from here on is in the prompt.
            "since": question.start if log.start is None else log.start,
        }
        try:
            final = self.graph.invoke(state, context=turn)
        except KeyboardInterrupt:
            final = {}
        if final.get("error") is not None:
            raise final["error"]
        return load_answer(self.memory, answer_id)

    @property
    def graph(self) -> CompiledStateGraph[Any, Any, Any, Any]:
        """The compiled graph."""
        if self._graph is None:
            self._graph = _build()
        return self._graph


def _unsupported(settings: Settings, engine: Engine) -> Iterator[tuple[str, str]]:
    """The settings that the engine does not support, each with what it needs."""
    writes = f"a model that writes, and {engine.name} only quotes"
    if not engine.capabilities.generates:
        yield from ((name, writes) for name in ("hops", "outline") if getattr(settings, name))
    if settings.votes > 1 and not engine.capabilities.uncertainty:
        yield "votes", f"an engine that tells how uncertain it is, and {engine.name} does not"


def _build() -> CompiledStateGraph[Any, Any, Any, Any]:
    from langgraph.graph import END, START, StateGraph

    from memagent.agent import steps as nodes
    from memagent.agent.strategies.follow_up import follow_up
    from memagent.agent.strategies.outline import outline
    from memagent.agent.strategies.vote import vote
    from memagent.agent.turn import Turn, TurnState

    graph = StateGraph(TurnState, context_schema=Turn)
    for step in (
        nodes.recall,
        follow_up,
        nodes.gather,
        vote,
        outline,
        nodes.pack,
        nodes.answer,
        nodes.use_tools,
        nodes.cite,
        nodes.remember,
    ):
        graph.add_node(step.__name__, step)
    graph.add_edge(START, "recall")
    graph.add_conditional_edges("recall", nodes.after_recall)
    graph.add_conditional_edges("follow_up", nodes.after_recall)
    graph.add_conditional_edges("gather", nodes.after_gathering)
    graph.add_conditional_edges("vote", nodes.after_vote)
    graph.add_edge("outline", "pack")
    graph.add_edge("pack", "answer")
    graph.add_conditional_edges("answer", nodes.after_answer)
    graph.add_edge("use_tools", "answer")
    graph.add_edge("cite", "remember")
    graph.add_edge("remember", END)
    return graph.compile()


def load_answer(memory: Namespace, answer_id: int) -> Answer:
    """A stored answer, with its citations resolved to the stored text."""
    row = memory.answers.get(answer_id)
    return Answer(
        id=answer_id,
        question=row["question"],
        text=row["text"] or "",
        state="partial" if row["state"] == "pending" else row["state"],
        engine=row["engine"],
        namespace=memory.namespace,
        session=row["session"],
        found=bool(row["found"]),
        confidence=row["confidence"],
        citations=tuple(_citations(memory, answer_id)),
        outline=tuple(_outline(memory, answer_id)),
        usage=Usage(**row["usage"]),
        explain=row["explain"],
    )


def _citations(memory: Namespace, answer_id: int) -> Iterator[Citation]:
    for cited in memory.answers.citations(answer_id):
        if cited["verified"]:
            text = memory.spans.text(cited["source_id"], cited["start"], cited["end"])
            known = {key: cited[key] for key in cited if key not in ("source_id", "claim")}
            yield Citation(**{**known, "verified": True, "text": text})
        else:
            yield Citation(cited["number"], False, cited["claim"])


def _outline(memory: Namespace, answer_id: int) -> Iterator[Point]:
    """The points of an answer's outline, with the current text of their places."""
    points = memory.answers.outline(answer_id)
    places = [point.place for point in points]
    events = events_at(memory.store, memory.sources.namespace_id, places)
    for point, event in zip(points, events, strict=True):
        yield Point(
            point.heading,
            Citation(
                number=point.number,
                verified=True,
                text=event.text,
                source=event.source,
                kind=event.kind,
                start=event.start,
                end=event.end,
                page=event.page,
                section=event.section,
                time=event.time,
                role=event.role,
            ),
        )
