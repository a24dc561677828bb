"""One writing step in process: its prompt, its reply schema, what is saved."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from memagent.agent.strategies.repetition import repeated_share
from memagent.agent.structured_retry import Unusable
from memagent.engines.base import Capabilities
from memagent.engines.scripted import Reply, ScriptedEngine
from memagent.errors import EngineError, InputError, UsageError
from memagent.memory.namespace import Namespace
from memagent.memory.store.working import MOST_LINES, MOST_WORDS, Line
from memagent.settings import Settings
from memagent.types import Request
from memagent.writing.book import Book
from memagent.writing.generation import Call
from memagent.writing.line_changes import changed, numbered
from memagent.writing.reply import Changes, parse_step, rest
from memagent.writing.step import Scene, answer_tokens, write_step
from memagent.writing.step_schema import measured, step_schema
from memagent.writing.writer import GO_ON, Writer
from tests.writing.scripts import FACT, OUTLINE, paragraph, reply


class Bound(ScriptedEngine):
    """The scripted engine as one that is bound to schemas."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.capabilities = Capabilities(structured=True)


def _call(engine: ScriptedEngine, temperature: float = 0.0) -> Call:
    return Call(engine, answer_tokens(engine, 512), temperature, (7, 1, 1))


def _prompt(request: Request) -> str:
    return request.messages[-1].content


def test_parts_that_do_not_fit_are_left_out_in_order() -> None:
    scene = Scene(
        5,
        "",
        tuple((n, f"line {n} of memory") for n in range(3, 9)),
        ("the nearest paragraph " * 6, "another paragraph " * 6),
        "word " * 30 + "the end of it",
        "the plan",
    )
    seen: list[tuple[bool, bool, int, int]] = []
    for context in range(700, 60, -4):
        engine = Bound([reply(5, drop=[])], context=context)
        try:
            write_step(_call(engine), scene, [])
        except EngineError as error:
            assert "paragraph 5 needs" in str(error) or "no room for a paragraph" in str(error)
            break
        request = engine.requests[0]
        assert engine.count_prompt(request.messages) + request.max_tokens <= context
        prompt = _prompt(request)
        assert "the plan" in prompt
        lines = [n for n in range(3, 9) if f"\n{n}. line {n}" in prompt]
        assert lines == list(range(9 - len(lines), 9)), "the oldest are left out first"
        numbers = request.schema["properties"].get("drop", {})  # type: ignore[index]
        enum = numbers.get("items", {}).get("properties", {}).get("line", {}).get("enum", [])
        assert enum == lines, "what is not shown cannot be dropped"
        words = prompt.count("word ")
        assert not words or "the end of it" in prompt
        shown = ("nearest" in prompt, "another" in prompt, len(lines), words)
        assert not seen or shown <= seen[-1]
        seen.append(shown)
    else:
        raise AssertionError("it fits any window")
    order = list(dict.fromkeys(seen))
    assert order[:3] == [(True, True, 6, 30), (True, False, 6, 30), (False, False, 6, 30)]
    assert all(words == 30 for _, _, lines, words in order if lines)
    assert order[-1][:3] == (False, False, 0) and order[-1][3] < 30


@pytest.mark.parametrize("max_tokens", [200, 512, 4000])
@pytest.mark.parametrize(
    "text", ["", "Plain words of a tale. " * 40, "灯台守は地図を見つけた。" * 40]
)
def test_an_answer_as_long_as_its_schema_allows_fits(max_tokens: int, text: str) -> None:
    engine = _Characters()
    shape = measured(engine, max_tokens, text)
    schema = step_schema(shape, [1, 2])
    Draft202012Validator.check_schema(schema)
    letters = (text or "words of four ") * (shape.paragraph // len(text or "a") + 1)
    changes = min(shape.changes, 2)
    longest = {
        "paragraph": letters[: shape.paragraph],
        "drop": [{"line": 2, "reason": letters[: shape.reason]}] * changes,
        "add": [{"text": letters[: shape.line], "reason": letters[: shape.reason]}] * shape.changes,
        "plans": [letters[: shape.plan]] * 3,
    }
    assert Draft202012Validator(schema).is_valid(longest)
    assert engine.count(json.dumps(longest, ensure_ascii=False)) <= max_tokens
    assert not Draft202012Validator(schema).is_valid({**longest, "paragraph": letters * 2})
    with pytest.raises(EngineError, match="raise --max-tokens"):
        measured(engine, 60, text)


class _Characters(ScriptedEngine):
    """A tokenizer of three ASCII characters, or one other."""

    def count(self, text: str) -> int:
        ascii_only = sum(character.isascii() for character in text)
        return -(-ascii_only // 3) + len(text) - ascii_only


def test_seeds_and_temperatures_are_the_same_again_and_differ_between_tries() -> None:
    def asked(replies: list[Reply]) -> list[tuple[int | None, float]]:
        engine = ScriptedEngine(replies)
        write_step(_call(engine), Scene(2, OUTLINE, plan="x"), [paragraph(1)])
        return [(request.seed, request.temperature) for request in engine.requests]

    broken = asked(["{", "{", reply(2, paragraph=paragraph(1), drop=[]), reply(2, drop=[])])
    assert [heat for _, heat in broken] == [0.0, 0.0, 0.0, 0.7]
    assert len({seed for seed, _ in broken}) == 4
    assert asked([reply(2, drop=[])]) == broken[:1]


def test_the_model_is_told_what_was_wrong_and_never_asked_without_end() -> None:
    engine = ScriptedEngine(['{"plans": ["x"]}', "{", "", "unheard"])
    with pytest.raises(InputError, match="3 answers of the model were unusable"):
        write_step(_call(engine), Scene(2, OUTLINE, ((1, FACT),), plan="x"), [])
    assert len(engine.requests) == 3
    told = [_prompt(request).partition("could not be used: ")[2] for request in engine.requests]
    assert told[0] == ""
    assert told[1].startswith("paragraph: Field required.")
    assert told[2].startswith("it is no whole JSON: Expecting property name")
    with pytest.raises(Unusable, match="drop: working memory shows no line 9"):
        parse_step(reply(2, drop=[{"line": 9}]), [1])


@pytest.mark.parametrize(
    ("said", "saved"),
    [
        ("Plain\x00 prose.", "Plain prose."),
        ('{"paragraph": "One. Two. Thr', "One. Two."),
        ('{"paragraph": "One tw', "One tw"),
        ('{"paragraph": "One. Two", "dr', "One. Two"),
        ('```json\n{"paragraph": "One.", "plans": "none"}\n``` end', "One."),
        ('{"paragraph": ["One."]}', None),
        ('{"plans": ["One."', None),
        ("{", None),
        ("  \n", None),
        ('{"paragraph": "\\ud800 half"}', "half"),
    ],
)
def test_usable_parts_of_a_broken_answer_are_kept(said: str, saved: str | None) -> None:
    found = rest(said)
    assert found == saved
    with pytest.raises(Unusable):
        parse_step(said, [])


def test_control_characters_are_left_out_and_lines_are_lines() -> None:
    said = parse_step(reply(2, paragraph=" a\x00\n\tb ", add=[{"text": "c\n d"}], drop=[]), [])
    assert (said.paragraph, said.add[0].text) == ("a\n\tb", "c d")
    for broken in (
        {"paragraph": " \x00"},
        {"plans": ["\n"]},
        {"plans": []},
        {"add": [{"text": ""}]},
    ):
        with pytest.raises(Unusable):
            parse_step(reply(2, drop=[], **broken), [])


def test_the_share_of_repeated_sentences_is_reported() -> None:
    one, two = "The keeper climbed the stairs.", "A ship went by in the night!"
    assert repeated_share(f"{one} {two}", []) == 0
    assert repeated_share(f"{one} {two}", [f"Yes. THE keeper climbed\nthe stairs. {two}"]) == 1
    assert 0.4 < repeated_share(f"{one} {two}", [one]) < 0.6
    assert 0.4 < repeated_share(f"{one} {one}", []) < 0.6
    assert repeated_share("Yes. Yes. Yes.", ["Yes."]) == 0
    assert repeated_share("", [one]) == 0
    assert (
        repeated_share(
            "灯台守は毎日灯台の階段を上って海を見た。", ["灯台守は毎日灯台の階段を上って海を見た。"]
        )
        == 1
    )


def test_a_model_cannot_write_more_than_the_memory_holds_nor_undo_an_edit() -> None:
    full = [Line(f"line {n}") for n in range(MOST_LINES)]
    changes = Changes.model_validate({"drop": [{"line": 2}], "add": [{"text": "a"}, {"text": "b"}]})
    after, why = changed(full, full, changes, (5,))
    assert len(after) == MOST_LINES and after[-1] == Line("a", (5,)) and after[1].text == "line 2"
    assert why == ["dropped 2", "added 20", "not added, as there are 20 lines or 500 words"]
    edited = [Line("line 0"), Line("line 1, edited meanwhile"), Line("a")]
    after, why = changed(edited, full, changes, (5,))
    assert [line.text for line in after] == ["line 0", "line 1, edited meanwhile", "a", "b"]

    wordy = [Line("old"), Line("word " * (MOST_WORDS - 1)), Line("new")]
    assert [number for number, _ in numbered(wordy)] == [2, 3]
    assert [number for number, _ in numbered(full * 2)] == list(range(21, 41))
    assert numbered([Line("word " * (MOST_WORDS + 1))]) == ()


def test_a_text_in_one_process(memory: Namespace) -> None:
    def say(request: Request) -> str:
        text = _prompt(request)
        number = next((n for n in range(2, 9) if f"STEP-{n} " in text), 1)
        if "STEP-3 " in text:
            return "No JSON."
        return reply(number, drop=[])

    engine = ScriptedEngine(say, context=1024)
    book = Book(memory, "tale", OUTLINE)
    writer = Writer(book, engine, Settings(), 0)
    assert writer.choose() is None
    first = writer.step(None)
    assert OUTLINE.strip() in _prompt(engine.requests[0]) and first.plan is None
    writer.step("STEP-2 by day")
    assert "<outline>" not in _prompt(engine.requests[1]), "memory has taken its place"
    assert f"1. {FACT}" in _prompt(engine.requests[1])
    assert paragraph(1) in _prompt(engine.requests[1])

    writer.step("STEP-3 by the stairs of the keeper")
    third = _prompt(engine.requests[2])
    assert paragraph(1) in third.partition("<earlier_paragraphs>")[2].partition("<previous")[0]
    assert third.count(paragraph(2)) == 1, "the previous paragraph is not recalled again"

    before = book.working.lines()
    assert book.undo() == 3 and book.working.lines() == before
    assert book.undo() == 2 and book.working.lines() == [FACT]
    assert book.plans.lines() == [f"STEP-2 by {way}" for way in ("day", "night", "boat")]
    writer.step("STEP-2 by night")
    book.edit("He  stayed in bed.")
    writer.step("STEP-4 by boat")
    assert "<previous_paragraph>\nHe  stayed in bed.\n" in _prompt(engine.requests[-1])
    assert [span.text for span in book.paragraphs()] == [
        paragraph(1), "He  stayed in bed.", paragraph(4),
    ]  # fmt: skip
    assert list(memory.spans.keys(book.source.id).values()) == [
        "outline", "paragraph:1", "plan:2", "paragraph:2", "plan:3", "paragraph:3",
        "plan:2.2.0", "paragraph:2.2.0", "paragraph:2.2.1", "plan:3.2.0", "paragraph:3.2.0",
    ]  # fmt: skip
    memory.catch_up()
    recalled = {event.text for event in memory.recall("stairs, ships, bed", budget=2000).events}
    assert paragraph(2) not in recalled and "He  stayed in bed." in recalled
    assert not any("STEP-" in text for text in recalled), "plans are never recalled"

    with pytest.raises(UsageError, match="a different outline"):
        Book(memory, "tale", "another")
    other = book.scene("x", 500)
    writer.step("STEP-5 by day")
    with pytest.raises(UsageError, match="by another process"):
        book.add(other, (), write_step(_call(engine), other, []))


def test_writing_continues_without_a_plan(memory: Namespace) -> None:
    engine = ScriptedEngine(["One day it rained.", "One day it rained.", "Then it stopped."])
    writer = Writer(Book(memory, "prose", OUTLINE), engine, Settings(), 0)
    assert writer.step(writer.choose()).written.reply is None
    assert writer.choose() == GO_ON
    writer.step(GO_ON)
    assert "<outline>" in _prompt(engine.requests[-1]), "there is no memory to go by"
