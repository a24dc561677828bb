"""The table of recall signals. A new signal is one file and one line here."""

from __future__ import annotations

from memagent.memory.recall.signals.base import Signal
from memagent.memory.recall.signals.meaning_around import MeaningAround
from memagent.memory.recall.signals.names import Names
from memagent.memory.recall.signals.own_words_around import OwnWordsAround
from memagent.memory.recall.signals.question import Question
from memagent.memory.recall.signals.source import SourceScore
from memagent.memory.recall.signals.speaker import Speaker
from memagent.memory.recall.signals.stretch import Stretch
from memagent.memory.recall.signals.time_words import TimeWords
from memagent.memory.recall.signals.tokens import Tokens
from memagent.memory.recall.signals.when import When
from memagent.memory.recall.signals.words_around import WordsAround

__all__ = ["SIGNALS"]

# Contributions are summed in this order, and reports list them in it.
SIGNALS: tuple[Signal, ...] = (
    WordsAround(),
    MeaningAround(),
    OwnWordsAround(),
    SourceScore(),
    Tokens(),
    Names(),
    Stretch(),
    Speaker(),
    When(),
    TimeWords(),
    Question(),
)
