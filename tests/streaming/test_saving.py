"""A saved stream continues in a new process as if it had never stopped, killed or not."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from memagent.errors import EngineError, UsageError
from memagent.streaming.binding import fingerprint
from memagent.streaming.config import StreamConfig
from memagent.streaming.saving import resume, save
from memagent.streaming.stream import Stream
from tests.streaming.models import make, tokens
from tests.streaming.stream_process import CASES, KILLED, SMALL

PROCESS = Path(__file__).with_name("stream_process.py")
PLACES = ["half a state", "no state", "half a page file", "no page file", "unsaved"]
SHORT = {"page": 16, "window": 32, "chunk": 64, "budget": 64, "refresh": 4}


def in_a_process(what: str, root: Path) -> dict[str, str]:
    ran = subprocess.run(
        [sys.executable, PROCESS, what, root],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, str] = json.loads(ran.stdout)
    return found


@pytest.fixture(scope="module")
def model(root: Path) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(root / "model")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, what is read, and in time a folder for each stream."""
    folder = tmp_path_factory.mktemp("streams")
    make().save_pretrained(folder / "model")
    read = {"before": tokens(300, rows=2), "after": tokens(5, rows=2, seed=2)}
    torch.save({**read, "other": tokens(200, rows=2, seed=3)}, folder / "tokens.pt")
    return folder


@pytest.fixture(scope="module")
def first(root: Path) -> dict[str, str]:
    """Logits of the process that saved 300 tokens and went on for five."""
    found = in_a_process("write", root)
    for place in PLACES:
        shutil.copytree(root / KILLED, root / place)
    return found


@pytest.fixture(scope="module")
def second(root: Path, first: dict[str, str]) -> dict[str, str]:
    """Logits of another process that resumed and read the same five."""
    return in_a_process("read", root)


@pytest.fixture(scope="module")
def killed(root: Path, first: dict[str, str]) -> dict[str, str]:
    """Exit codes of processes that resumed, read 200 other tokens and were killed in a save."""
    return in_a_process("kill", root)


@pytest.mark.parametrize("case", CASES)
def test_a_new_process_expects_the_same_next_token_bit_for_bit(
    case: str, first: dict[str, str], second: dict[str, str]
) -> None:
    assert len(first[case]) > 400
    assert first[case] == second[case]


@pytest.mark.parametrize("place", PLACES)
def test_what_was_saved_before_survives_a_killed_process(
    place: str, root: Path, model: PreTrainedModel, first: dict[str, str], killed: dict[str, str]
) -> None:
    assert killed[place] == "-9"
    leftovers = list((root / place).rglob("*.new"))
    assert bool(leftovers) == place.startswith("half")
    if place == "unsaved":
        assert len(list((root / place / "pages").iterdir())) > len(
            list((root / KILLED / "pages").iterdir())
        )
    read = torch.load(root / "tokens.pt", weights_only=True)
    for then in ("after", "last"):  # from the same folder twice
        stream = resume(model, root / place)
        assert stream is not None
        assert stream.length == 300
        if then == "after":
            stream.read(read["after"][:1])
            wanted = torch.frombuffer(bytearray.fromhex(first[KILLED]), dtype=torch.float32)
            torch.testing.assert_close(stream.logits[0], wanted, atol=1e-4, rtol=0)
            continue
        # Pages that the killed process wrote for other tokens are not taken for these.
        unbroken = Stream(model, StreamConfig(**SMALL, selector="minmax"))
        unbroken.read(read["before"][:1])
        different = tokens(230, seed=9)
        for each in (stream, unbroken):
            each.read(different)
        torch.testing.assert_close(stream.logits, unbroken.logits, atol=1e-4, rtol=0)
        torch.testing.assert_close(
            stream.surprise, unbroken.surprise, atol=1e-4, rtol=0, equal_nan=True
        )
        assert stream.text.encoded == 0


def saved(folder: Path, read: torch.Tensor, model: PreTrainedModel | None = None) -> Stream:
    stream = Stream(model or make(), StreamConfig(**SHORT), folder=folder)
    stream.read(read)
    save(stream)
    return stream


def test_everything_of_a_stream_comes_back(tmp_path: Path) -> None:
    model = make()
    stream = Stream(model, StreamConfig(**SHORT), folder=tmp_path, rows=2)
    stream.read(tokens(150, rows=2))
    stream.forget(1, 40, 60)
    stream.cut()
    save(stream)
    again = resume(model, tmp_path)
    assert again is not None
    assert again.config == stream.config
    assert again.rows == 2
    assert again.length == 150
    torch.testing.assert_close(again.tokens, stream.tokens, atol=0, rtol=0)
    torch.testing.assert_close(again.surprise, stream.surprise, atol=0, rtol=0, equal_nan=True)
    for each in (stream, again):
        each.read(tokens(60, rows=2, seed=4))
    torch.testing.assert_close(again.logits, stream.logits, atol=0, rtol=0)
    for old, new in zip(stream.events, again.events, strict=True):
        assert new.all(210) == old.all(210)
        assert 150 in {start for start, _ in new.all(210)}
    shares = again.watch()
    again.read(tokens(1, rows=2))
    inside = [max(0, min(end, 60) - max(start, 40)) for start, end in shares.shares(1)]
    assert all(n < end - start for n, (start, end) in zip(inside, shares.shares(1), strict=True))


def test_a_stream_is_saved_again_and_again(tmp_path: Path) -> None:
    model = make()
    stream = saved(tmp_path, tokens(100), model)
    for seed in range(3):
        stream.read(tokens(33, seed=seed))
        save(stream)
        again = resume(model, tmp_path)
        assert again is not None
        again.read(tokens(1))
        mark = stream.mark()
        stream.read(tokens(1))
        torch.testing.assert_close(again.logits, stream.logits, atol=0, rtol=0)
        stream.rewind(mark)


def test_a_stream_in_which_nothing_was_read_is_saved_too(tmp_path: Path) -> None:
    model = make()
    save(Stream(model, StreamConfig(**SHORT), folder=tmp_path))
    stream = resume(model, tmp_path)
    assert stream is not None
    assert stream.length == 0
    assert stream.logits is None
    alone = Stream(model, StreamConfig(**SHORT))
    for each in (stream, alone):
        each.read(tokens(90))
    torch.testing.assert_close(stream.logits, alone.logits, atol=0, rtol=0)


def test_a_resumed_stream_recalls_more_pages_than_a_new_pool_holds(tmp_path: Path) -> None:
    model, read = make(), tokens(1200)
    sizes = {**SHORT, "page": 8, "budget": 1024, "selector": "mean"}
    stream = Stream(model, StreamConfig(**sizes), folder=tmp_path)
    stream.read(read)
    save(stream)
    again = resume(model, tmp_path)
    assert again is not None
    for each in (stream, again):
        each.read(tokens(3, seed=4))
    torch.testing.assert_close(again.logits, stream.logits, atol=0, rtol=0)


def test_the_pages_of_another_stream_are_not_used(tmp_path: Path) -> None:
    """A new stream in a folder replaces the old one and its saved state."""
    sizes = {**SHORT, "chunk": 16, "selector": "minmax"}
    hot = StreamConfig(**sizes, hot_pages=StreamConfig(**sizes).least_pages)
    saved(tmp_path, tokens(300, seed=7), make(seed=1))
    model = make(seed=2)
    assert resume(model, tmp_path) is None
    stream = Stream(model, hot, folder=tmp_path)
    alone = Stream(model, StreamConfig(**sizes))
    for each in (stream, alone):
        each.read(tokens(400))
    torch.testing.assert_close(stream.logits, alone.logits, atol=0, rtol=0)
    assert resume(make(seed=1), tmp_path) is None


def test_the_state_of_another_model_is_left_alone(tmp_path: Path) -> None:
    saved(tmp_path, tokens(100), make(seed=1))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert resume(make(seed=2), tmp_path) is None
    assert resume(make("llama", seed=1, num_hidden_layers=1), tmp_path) is None
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert resume(make(seed=1), tmp_path) is not None


def test_an_empty_folder_holds_no_stream(tmp_path: Path) -> None:
    assert resume(make(), tmp_path) is None
    assert resume(make(), tmp_path / "nowhere") is None


@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "no metadata"])
def test_a_damaged_state_is_refused_in_one_line(damage: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    saved(tmp_path, tokens(50))
    path = tmp_path / "state.safetensors"
    whole = path.read_bytes()
    if damage == "no metadata":
        save_file({"tokens": torch.zeros(1)}, path)
    else:
        path.write_bytes(
            {"cut": whole[: len(whole) // 2], "empty": b"", "noise": b"x" * 99}[damage]
        )
    with pytest.raises(EngineError, match="damaged") as error:
        resume(make(), tmp_path)
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_stream_without_a_folder_cannot_be_saved() -> None:
    stream = Stream(make(), StreamConfig(**SHORT))
    stream.read(tokens(20))
    with pytest.raises(UsageError, match="folder") as error:
        save(stream)
    assert "\n" not in str(error.value)


def test_a_model_has_one_fingerprint_however_many_threads_count_it() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    llm = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=20_000, hidden_size=64, intermediate_size=64, num_hidden_layers=1,
            num_attention_heads=4, num_key_value_heads=2,
        )
    )  # fmt: skip
    threads, found = torch.get_num_threads(), set()
    try:
        for count in (1, 2, 3, 4):
            torch.set_num_threads(count)
            found.add(fingerprint(llm))
    finally:
        torch.set_num_threads(threads)
    assert len(found) == 1
    with torch.no_grad():
        llm.model.embed_tokens.weight[777, 7] += 1e-3
    assert fingerprint(llm) not in found
    assert fingerprint(llm.to(torch.bfloat16)) not in found
