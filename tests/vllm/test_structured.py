"""Schema-bound answers and the uncertainty of their first token, from a real vLLM server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from memagent.engines.openai.engine import VllmEngine
from memagent.engines.openai.messages import chat_messages, plain_prompt
from memagent.engines.openai.uncertainty import TOP, entropy
from memagent.types import Chunk, Message, Request
from tests.vllm.serving import RealServer

pytestmark = pytest.mark.vllm

Attach = Callable[..., VllmEngine]
MESSAGES = (Message("user", "Where does the harbour master keep the spare key?"),)


def item(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


# Every feature that is enforced: docs/decisions/0009-schema-bound-json.md.
SCHEMA = item(
    zeta={"type": "string", "maxLength": 12},
    alpha={"type": "string", "minLength": 3, "maxLength": 5},
    code={"type": "string", "pattern": "^[a-c]{3}$"},
    share={"type": "integer", "minimum": 2, "maximum": 17},
    kind={"enum": ["yes", "no", None]},
    maybe={"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 3}]},
    pages={
        "type": "array",
        "items": item(n={"type": "integer", "minimum": 1, "maximum": 9}),
        "minItems": 2,
        "maxItems": 3,
    },
)
# More than the longest answer has bytes: no token is less than one.
ROOM = 600


def ask(**fields: Any) -> Request:
    return Request(MESSAGES, MESSAGES[-1].content, **fields)


def told(chunks: list[Chunk]) -> str:
    assert chunks[-1].finish == "stop"
    return "".join(chunk.text for chunk in chunks)


@pytest.mark.parametrize("served", ["server", "pocket_server"])
@pytest.mark.parametrize(("temperature", "seed"), [(0.0, 0), (1.0, 1), (2.0, 2)])
def test_an_answer_bound_to_a_schema_is_valid_and_ends(
    request: pytest.FixtureRequest, attach: Attach, served: str, temperature: float, seed: int
) -> None:
    server: RealServer = request.getfixturevalue(served)
    engine = attach(server.url)
    wanted = ask(schema=SCHEMA, max_tokens=ROOM, temperature=temperature, seed=seed)
    value = json.loads(told(list(engine.stream(wanted))))
    jsonschema.validate(value, SCHEMA)
    assert list(value) == list(SCHEMA["properties"])
    assert engine.capabilities.structured


def test_a_string_is_as_long_as_its_schema_says_whatever_its_characters(
    pocket_server: RealServer, attach: Attach
) -> None:
    schema = item(text={"type": "string", "maxLength": 8})
    engine = attach(pocket_server.url)
    for seed in range(8):
        wanted = ask(schema=schema, max_tokens=ROOM, temperature=2.0, seed=seed)
        assert len(json.loads(told(list(engine.stream(wanted))))["text"]) <= 8


@pytest.mark.parametrize("served", ["server", "pocket_server"])
def test_uncertainty_is_the_entropy_that_transformers_gives(
    request: pytest.FixtureRequest, attach: Attach, served: str
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    server: RealServer = request.getfixturevalue(served)
    engine = attach(server.url)
    chunks = list(engine.stream(ask(uncertainty=True, max_tokens=8)))
    given = [chunk.uncertainty for chunk in chunks if chunk.uncertainty is not None]
    assert chunks[0].uncertainty is not None
    assert len(given) == 1
    tokenizer = AutoTokenizer.from_pretrained(server.model)
    if tokenizer.chat_template:
        prompt = tokenizer.apply_chat_template(
            chat_messages(MESSAGES), add_generation_prompt=True, tokenize=False
        )
    else:
        prompt = plain_prompt(MESSAGES)
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    model = AutoModelForCausalLM.from_pretrained(server.model, dtype=torch.float32)
    with torch.no_grad():
        scores = model(ids).logits[0, -1].log_softmax(-1)
    assert given[0] == pytest.approx(entropy(scores.topk(TOP).values.tolist()), abs=1e-2)


def test_a_schema_and_uncertainty_go_together(pocket_server: RealServer, attach: Attach) -> None:
    wanted = ask(schema=SCHEMA, uncertainty=True, max_tokens=ROOM)
    chunks = list(attach(pocket_server.url).stream(wanted))
    jsonschema.validate(json.loads(told(chunks)), SCHEMA)
    assert chunks[0].uncertainty is not None
