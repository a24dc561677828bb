"""The life of a turn as a LangGraph graph: recall → answer (→ tools → answer) → cite → remember.

The user's words are in the store before the graph starts; the answer is before it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from memagent.core import Answer, Citation, Usage
from memagent.engines.base import Engine
from memagent.memory.events import Filter
from memagent.memory.items import Source, Span
from memagent.memory.memory import Memory
from memagent.settings import Settings

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

__all__ = ["Agent", "ignore", "load_answer", "refuse"]


def ignore(text: str) -> None:
    """For `on_text`: nobody listens."""


def refuse(question: str) -> bool:
    """For `confirm`: nobody can be asked, so the answer is no."""
    return False


class Agent:
    """Answers turns from one namespace with one engine. One engine call a turn by default.

    A setting that the engine cannot follow is said through the `warn` of `memory`.
    """

    def __init__(self, memory: Memory, engine: Engine, settings: Settings | None = None) -> None:
        self.memory = memory
        self.engine = engine
        self.settings = settings or Settings()
        if self.settings.hops and not engine.capabilities.generates:
            memory.warn(
                f"hops needs a model that writes, and {engine.name} only quotes: "
                "going on without (memagent doctor shows how to run one)"
            )
        self._graph: CompiledStateGraph[Any, Any, Any, Any] | None = None

    def answer(
        self,
        question: Span,
        session: Source,
        *,
        history: tuple[Span, ...] = (),
        which: Filter | None = None,
        asked: bool = True,
        on_text: Callable[[str], None] = ignore,
        confirm: Callable[[str], bool] = refuse,
    ) -> Answer:
        """Answer a turn that is already stored.

        `on_text` gets the answer as it streams. Ctrl-C returns what came so far, with the state
        'partial'; a lost server raises EngineError after storing what came so far.
        """
        from memagent.nodes import Turn

        answer_id = self.memory.answers.begin(question, self.engine.name)
        if self.engine.capabilities.attention:
            history = ()  # such an engine has the conversation in its own memory
        turn = Turn(
            self.memory,
            self.engine,
            self.settings,
            session,
            history,
            which or Filter(),
            asked,
            on_text,
            confirm,
        )
        state = {
            "answer_id": answer_id,
            "question": question.text,
            # An engine that reads the prompt has the conversation there; one that only quotes
            # must find it.
            "since": (
                history[0].start
                if history and self.engine.capabilities.generates
                else question.start
            ),
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


def _build() -> CompiledStateGraph[Any, Any, Any, Any]:
    from langgraph.graph import END, START, StateGraph

    from memagent import nodes

    graph = StateGraph(nodes.TurnState, context_schema=nodes.Turn)
    graph.add_node("recall", nodes.recall)
    graph.add_node("answer", nodes.answer)
    graph.add_node("use_tools", nodes.use_tools)
    graph.add_node("cite", nodes.cite)
    graph.add_node("remember", nodes.remember)
    graph.add_edge(START, "recall")
    graph.add_edge("recall", "answer")
    graph.add_conditional_edges("answer", nodes.after_answer)
    graph.add_edge("use_tools", "answer")
    graph.add_edge("cite", "remember")
    graph.add_edge("remember", END)
    return graph.compile()


def load_answer(memory: Memory, answer_id: int) -> Answer:
    """An answer as it is stored, its citations resolved to the stored text."""
    row = memory.answers.get(answer_id)
    citations = []
    for cited in memory.answers.citations(answer_id):
        if not cited["verified"]:
            citations.append(Citation(cited["number"], False, cited["claim"]))
            continue
        citations.append(
            Citation(
                number=cited["number"],
                verified=True,
                text=memory.spans.text(cited["source_id"], cited["start"], cited["end"]),
                source=cited["source"],
                kind=cited["kind"],
                start=cited["start"],
                end=cited["end"],
                page=cited["page"],
                section=cited["section"],
                time=cited["time"],
                role=cited["role"],
                share=cited["share"],
            )
        )
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
        citations=tuple(citations),
        usage=Usage(**row["usage"]),
        explain=row["explain"],
    )
