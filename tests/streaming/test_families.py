"""With all history in its window, a stream gives the stock model's logits, for each family."""

import copy

import pytest
import torch

from memagent.errors import EngineError
from memagent.streaming.config import StreamConfig
from memagent.streaming.selectors.table import SELECTORS
from memagent.streaming.stream import Stream
from tests.streaming.models import FAMILIES, make, tokens

TOLERANCE = 1e-4  # logits here have a deviation of about 1


def expected(model: torch.nn.Module, read: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits after the last token, and the surprise of each token but the first."""
    with torch.no_grad():
        logits = model(read).logits
    surprise = -logits[:, :-1].log_softmax(-1).gather(2, read[:, 1:, None])[..., 0]
    return logits[:, -1], surprise


def check(stream: Stream, model: torch.nn.Module, read: torch.Tensor, prompt: int) -> None:
    stream.read(read[:, :prompt])
    for place in range(prompt, read.shape[1]):
        stream.read(read[:, place : place + 1])
    logits, surprise = expected(model, read)
    assert logits.std() > 0.1
    assert stream.logits is not None
    torch.testing.assert_close(stream.logits, logits, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(stream.surprise[:, 1:], surprise, atol=TOLERANCE, rtol=0)
    assert stream.surprise[:, 0].isnan().all()


@pytest.mark.parametrize("name", FAMILIES)
def test_an_unlimited_window_equals_the_stock_model(name: str) -> None:
    model = make(name)
    config = StreamConfig(window=None, page=16, chunk=37, selector="recent")
    stream = Stream(copy.deepcopy(model), config, rows=2)
    check(stream, model, tokens(150, rows=2), prompt=120)


@pytest.mark.parametrize("positions", ["compact", "true"])
@pytest.mark.parametrize("selector", sorted(SELECTORS.keys() - {"landmark", "recent"}))
@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_recalling_every_page_equals_the_stock_model(
    name: str, selector: str, positions: str
) -> None:
    model = make(name)
    config = StreamConfig(
        window=20, page=16, chunk=19, budget=4096, selector=selector, positions=positions
    )  # type: ignore[arg-type]
    stream = Stream(copy.deepcopy(model), config, rows=2)
    check(stream, model, tokens(150, rows=2), prompt=110)


def test_half_precision_stays_near_the_stock_model() -> None:
    model = make("llama").to(torch.bfloat16)
    stream = Stream(
        copy.deepcopy(model), StreamConfig(window=None, page=16, chunk=37, selector="recent")
    )
    read = tokens(100)
    stream.read(read)
    logits, _ = expected(model, read)
    exact, _ = expected(make("llama"), read)
    assert stream.logits is not None
    own, stock = ((t.float() - exact).norm() / exact.norm() for t in (stream.logits, logits))
    assert own < 2 * stock + 0.01


def test_a_model_without_rotary_positions_is_refused_in_one_line() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=32, vocab_size=100))
    with pytest.raises(EngineError, match="RoPE"):
        Stream(model)
