"""The events of a stream: without gaps, of bounded size, hard cuts kept, refinement or not."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memagent.streaming.config import Segmentation, StreamConfig
from memagent.streaming.events import EventLog
from memagent.streaming.generate import generate
from memagent.streaming.stream import Stream
from tests.streaming.models import make, tokens

LONGEST = 400
KEYS = np.random.default_rng(11).normal(size=(LONGEST, 12)) + np.repeat(
    np.random.default_rng(12).normal(size=(LONGEST // 10, 12)) * 2, 10, axis=0
)
RULES = st.builds(
    lambda gamma, tau, least, more, refine: Segmentation(gamma, tau, least, least + more, refine),
    st.sampled_from([0.0, 0.7, 1.5]),
    st.integers(2, 64),
    st.integers(1, 12),
    st.integers(0, 60),
    st.booleans(),
)
CUTS = st.sets(st.integers(0, LONGEST), max_size=8)


def log_of(rule: Segmentation) -> EventLog:
    return EventLog(rule, lambda start, end: KEYS[start:end])


def surprises(seed: int, count: int) -> list[float]:
    return np.random.default_rng(seed).gamma(1.5, 2.0, count).tolist()


def push(log: EventLog, values: list[float], cuts: set[int], start: int = 0) -> list[int]:
    begun = []
    for token, value in enumerate(values, start):
        if token in cuts:
            log.cut()
        if log.push(token, value):
            begun.append(token)
    return begun


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(0, LONGEST), rule=RULES, cuts=CUTS)
def test_events_tile_the_stream_in_bounded_sizes(
    seed: int, count: int, rule: Segmentation, cuts: set[int]
) -> None:
    log = log_of(rule)
    begun = push(log, surprises(seed, count), cuts)
    events = log.all(count)
    assert [start for start, _ in events[:1]] == [0] * (count > 0)
    assert [end for _, end in events[-1:]] == [count] * (count > 0)
    assert all(before[1] == after[0] for before, after in pairwise(events))
    assert len(events) == len(begun)
    for start, end in events:
        assert start < end <= start + rule.most
        # Only a hard cut, or the present end, leaves less than the smallest size.
        assert end - start >= rule.least or end in cuts or end == count
    assert {cut for cut in cuts if cut < count} <= {start for start, _ in events}
    if not rule.refine:
        assert [start for start, _ in events] == begun


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), rule=RULES, cuts=CUTS)
def test_an_event_that_is_done_never_changes(seed: int, rule: Segmentation, cuts: set[int]) -> None:
    log, known = log_of(rule), []
    for token, value in enumerate(surprises(seed, LONGEST)):
        push(log, [value], cuts, token)
        assert log.done[: len(known)] == known
        known = list(log.done)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6), at=st.integers(0, LONGEST), rule=RULES, cuts=CUTS, cut=st.booleans()
)
def test_an_event_log_can_be_rewound_and_continued_differently(
    seed: int, at: int, rule: Segmentation, cuts: set[int], cut: bool
) -> None:
    values = surprises(seed, LONGEST)
    log = log_of(rule)
    push(log, values[:at], cuts)
    if cut:
        log.cut()
    written = json.loads(json.dumps(log.state()))
    done = list(log.done)
    push(log, values[at:], cuts, at)
    wanted = log.all(LONGEST)
    log.restore(written)
    push(log, surprises(seed + 1, LONGEST - at), set(), at)
    log.restore(written)
    assert log.done == done
    push(log, values[at:], cuts, at)
    assert log.all(LONGEST) == wanted
    elsewhere = log_of(rule)
    elsewhere.done.extend(done)
    elsewhere.restore(written)
    push(elsewhere, values[at:], cuts, at)
    assert elsewhere.all(LONGEST) == wanted


def test_refinement_moves_boundaries_to_where_the_keys_change() -> None:
    """Surprise comes three tokens late; the keys know where the topic changed."""
    values = [1.0 + 0.01 * (n % 3) for n in range(120)]
    for late in (43, 83):
        values[late] = 9.0
    topics = np.repeat(np.eye(3), 40, axis=0)
    found = {}
    for refine in (False, True):
        rule = Segmentation(gamma=3.0, tau=32, least=8, most=128, refine=refine)
        log = EventLog(rule, lambda start, end: topics[start:end])
        push(log, values, {110})
        found[refine] = [start for start, _ in log.all(120)]
    assert found[False] == [0, 43, 83, 110]
    assert found[True] == [0, 40, 80, 110]


@pytest.mark.parametrize("refine", [False, True])
def test_generated_tokens_are_segmented_as_read_ones(refine: bool) -> None:
    model = make()
    rule = Segmentation(gamma=0.3, tau=32, least=4, most=24, refine=refine)
    config = StreamConfig(page=16, window=None, chunk=37, selector="recent", segmentation=rule)
    prompt = tokens(60)
    writer = Stream(model, config)
    writer.read(prompt)
    said = list(generate(writer, 50, temperature=1.0, seed=3))
    reader = Stream(model, config)
    reader.read(writer.tokens)
    assert len(said) == 50
    assert writer.tokens[0, 60:].tolist() == said
    assert len(writer.events[0].done) > 4
    assert writer.events[0].all(110) == reader.events[0].all(110)


def test_a_cut_of_the_stream_begins_an_event_in_every_row() -> None:
    config = StreamConfig(page=16, window=None, selector="recent")
    stream = Stream(make(), config, rows=2)
    for _ in range(3):
        stream.cut()
        stream.read(tokens(21, rows=2))
    for log in stream.events:
        assert {0, 21, 42} <= {start for start, _ in log.all(63)}
