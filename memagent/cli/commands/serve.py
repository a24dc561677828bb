"""`memagent serve`: start vLLM on a model, or name a server that runs, for the other commands."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memagent.cli.commands import options
from memagent.cli.render.output import console, print_json, say, visible
from memagent.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from memagent.serving.record import Record
    from memagent.serving.server_spec import ServerSpec
    from memagent.settings import Settings

__all__ = ["serve"]


Extra = Annotated[
    list[str] | None, typer.Argument(help="After --: flags for vLLM.", metavar="FLAGS")
]
Context = Annotated[
    int | None, typer.Option("--context", help="Tokens that prompt and answer share.")
]
Namespace = Annotated[
    float | None, typer.Option("--gpu-memory", help="Share of the GPU's memory, up to 1.")
]
Tensor = Annotated[
    int | None, typer.Option("--tensor-parallel", help="GPUs that share every layer.")
]
Pipeline = Annotated[
    int | None, typer.Option("--pipeline-parallel", help="GPUs that take layers in turn.")
]
Name = Annotated[str | None, typer.Option("--name", help="Name the model is served under.")]
Python = Annotated[
    Path | None, typer.Option("--python", help="The Python that has vLLM.", show_default="this one")
]
Attach = Annotated[
    str | None, typer.Option("--attach", help="Use the server at this URL from now on.")
]


def serve(
    model: Annotated[
        str | None, typer.Argument(help="A folder, a name on the hub, or pocket for a toy.")
    ] = None,
    extra: Extra = None,
    context: Context = None,
    gpu_memory: Namespace = None,
    tensor_parallel: Tensor = None,
    pipeline_parallel: Pipeline = None,
    host: Annotated[str, typer.Option("--host", help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port; 0 for a free one.")] = 8000,
    name: Name = None,
    python: Python = None,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running.")] = False,
    attach: Attach = None,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the recorded server.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Show the recorded server.")] = False,
    json: options.Json = False,
) -> None:
    """Serve a model with vLLM; ask, chat and run find it. It runs until Ctrl-C, or detached."""
    if sum((model is not None, attach is not None, stop, status)) != 1:
        raise UsageError("give a MODEL to serve, or one of --attach URL, --stop and --status")
    from memagent.settings import load

    settings, _ = load({"vllm_python": python})
    if attach is not None:
        _print(_attach(attach, settings), json)
    elif stop:
        _stop(settings)
    elif status:
        _status(settings, json)
    elif model is not None:
        from memagent.serving.server_spec import ServerSpec

        chosen: dict[str, Any] = {"python": settings.vllm_python} if settings.vllm_python else {}
        spec = ServerSpec(
            model,
            name=name,
            host=host,
            port=port,
            context=context,
            gpu_memory=gpu_memory,
            tensor_parallel=tensor_parallel,
            pipeline_parallel=pipeline_parallel,
            extra=tuple(extra or ()),
            **chosen,
        )
        _serve(spec, settings, detach=detach, json=json)


def _serve(spec: ServerSpec, settings: Settings, *, detach: bool, json: bool) -> None:
    from memagent.serving.launch import attend, started, stoppable, wait

    with stoppable(), started(spec, settings.state_dir) as (record, process):
        if spec.is_pocket():
            say(
                "pocket is the bundled language model of two million parameters, a toy that babbles"
            )
        if spec.is_stretched():
            say(
                f"the model was made for {spec.own_context()} tokens: it is given {spec.context}, "
                "and may answer badly beyond its own"
            )
        say(f"starting vLLM on {spec.model}, log {record.log}")
        with console(stderr=True).status("") as waiting:
            wait(record, process, lambda line: waiting.update(_plain(line)))
        ending = "memagent serve --stop ends it" if detach else "Ctrl-C ends it"
        say(f"{record.model} is served at {record.url}; {ending}")
        _print(record, json)
        if not detach:
            attend(record, process, settings.state_dir)
            say("stopped")


def _attach(url: str, settings: Settings) -> Record:
    from contextlib import closing

    from memagent.engines.openai.engine import VllmEngine
    from memagent.serving.record import Record, check_vacant, write

    check_vacant(settings.state_dir)
    engine = VllmEngine(url, api_key=settings.api_key, timeout=settings.timeout)
    with closing(engine):
        record = Record(engine.url, engine.connect().model)
    write(settings.state_dir, record)
    say(f"{record.model} at {record.url} is used from now on; memagent serve --stop forgets it")
    return record


def _stop(settings: Settings) -> None:
    from memagent.serving.launch import stop

    record = _recorded(settings)
    lived = record.lives()
    stop(record, settings.state_dir)
    if record.pid is None:
        say(f"{record.url} is forgotten, and runs on")
    else:
        say(f"{record.url} {'is stopped' if lived else 'had ended already, and is forgotten'}")


def _status(settings: Settings, json: bool) -> None:
    from memagent.serving.http import get
    from memagent.serving.record import forget

    record = _recorded(settings)
    if not record.lives():
        forget(settings.state_dir, record)
        raise NotFoundError(f"the server at {record.url} has ended, and is forgotten: see its log")
    listed = get(record.url, "/v1/models", timeout=5.0, api_key=settings.api_key)
    state = "silent" if listed is None else "answers"
    if json:
        print_json({**asdict(record), "state": state})
    else:
        own = "attached" if record.pid is None else f"process {record.pid}, log {record.log}"
        console().print(f"{record.url}: {record.model}, {state} ({own})", markup=False)
    if listed is None:
        raise typer.Exit(4)


def _recorded(settings: Settings) -> Record:
    from memagent.serving.record import read

    record = read(settings.state_dir)
    if record is None:
        raise NotFoundError("no server is recorded: memagent serve MODEL starts one")
    return record


def _print(record: Record, json: bool) -> None:
    if json:
        print_json(asdict(record))
    else:
        console().print(record.url, markup=False)


def _plain(line: str) -> Any:
    from rich.text import Text

    return Text(visible(line), no_wrap=True, overflow="ellipsis")
