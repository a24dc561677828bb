"""Download a model from the Hugging Face hub: safetensors, configuration and tokenizer only."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from memagent.errors import InputError, MemagentError, NotFoundError
from memagent.models.library import check_room

__all__ = ["download"]

# Files at the top of a repository. Nothing in them is run: no Python, no pickled weights.
_KINDS = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
_EXCEPT = ("consolidated*", "training_args*")
_MB = 10**6


def download(name: str, folder: Path, say: Callable[[str], None]) -> None:
    """Download the model OWNER/NAME to a folder; `say` gets the progress.

    Raises NotFoundError if the hub has no such model, InputError if it has no safetensors, and
    MemagentError if the hub cannot be reached, refuses access, or the disk is too small.
    """
    from huggingface_hub import HfApi, hf_hub_download

    with _errors_in_one_line(name):
        say("asking the Hugging Face hub")
        info = HfApi().model_info(name, files_metadata=True)
        files = {one.rfilename: one.size or 0 for one in info.siblings or () if _wanted(one)}
        _check(name, list(files))
        check_room(folder, sum(files.values()))
        for number, (file, size) in enumerate(files.items(), 1):
            say(f"downloading {file} ({size / _MB:,.1f} MB), {number} of {len(files)} files")
            hf_hub_download(name, file, revision=info.sha, local_dir=folder)
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def _wanted(file: Any) -> bool:
    name = file.rfilename
    if "/" in name or any(fnmatch(name, pattern) for pattern in _EXCEPT):
        return False
    return any(fnmatch(name, pattern) for pattern in _KINDS)


def _check(name: str, files: list[str]) -> None:
    if "config.json" not in files:
        raise InputError(f"{name} has no config.json: it is no model that Transformers can load")
    if not any(file.endswith(".safetensors") for file in files):
        raise InputError(
            f"{name} has no safetensors: choose a version of the model that has them, or download "
            "a GGUF file of it and `memagent model get FILE.gguf`"
        )


@contextmanager
def _errors_in_one_line(name: str) -> Iterator[None]:
    from huggingface_hub import errors

    # The base of HfHubHTTPError and of all that goes wrong before the hub answers.
    no_answer = errors.HTTPError  # type: ignore[attr-defined]
    try:
        yield
    except errors.GatedRepoError as error:
        raise MemagentError(
            f"{name} is gated: accept its terms at huggingface.co/{name}, then log in with "
            "`hf auth login` or set HF_TOKEN"
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise NotFoundError(
            f"the Hugging Face hub has no model {name}: check the name; a private one needs "
            "`hf auth login` or HF_TOKEN"
        ) from error
    except errors.HfHubHTTPError as error:
        why = str(error).strip().split("\n")[0]
        raise MemagentError(f"the Hugging Face hub refuses {name}: {why}") from error
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, no_answer) as error:
        why = str(error).strip().split("\n")[0]
        raise MemagentError(
            f"the Hugging Face hub cannot be reached, so {name} is not installed ({why}): check "
            "the network, or copy a model folder here and name its path"
        ) from error
