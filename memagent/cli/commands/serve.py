"""`memagent serve`: start a vLLM server, or attach to one, for the other commands to use."""

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
    list[str] | None, typer.Argument(help="Flags for vLLM, after --.", metavar="FLAGS")
]
Context = Annotated[
    int | None,
    typer.Option("--context", help="Context length: tokens of prompt and answer together."),
]
GpuMemory = Annotated[
    float | None, typer.Option("--gpu-memory", help="Share of the GPU memory to use, up to 1.")
]
Tensor = Annotated[
    int | None,
    typer.Option("--tensor-parallel", help="Split each layer across N GPUs.", metavar="N"),
]
Pipeline = Annotated[
    int | None,
    typer.Option(
        "--pipeline-parallel", help="Split the layers into N stages, one per GPU.", metavar="N"
    ),
]
Name = Annotated[str | None, typer.Option("--name", help="Name under which the model is served.")]
Python = Annotated[
    Path | None,
    typer.Option(
        "--python", help="Python interpreter that has vLLM installed.", show_default="this one"
    ),
]
Attach = Annotated[
    str | None, typer.Option("--attach", help="Use the server that runs at this URL from now on.")
]


def serve(
    model: Annotated[
        str | None,
        typer.Argument(
            help="Model folder, Hugging Face name, or pocket for the bundled toy model."
        ),
    ] = None,
    extra: Extra = None,
    context: Context = None,
    gpu_memory: GpuMemory = None,
    tensor_parallel: Tensor = None,
    pipeline_parallel: Pipeline = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", help="Port to listen on; 0 picks a free one.")
    ] = 8000,
    name: Name = None,
    python: Python = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Start the server in the background.")
    ] = False,
    attach: Attach = None,
    stop: Annotated[
        bool, typer.Option("--stop", help="Stop the server, or forget an attached one.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Show the current server.")] = False,
    json: options.Json = False,
) -> None:
    """Serve a model with vLLM; the other commands use that server automatically.

    The server runs until Ctrl-C, or with --detach until memagent serve --stop.
    """
    if sum((model is not None, attach is not None, stop, status)) != 1:
        raise UsageError("give either a MODEL to serve, --attach URL, --stop or --status")
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
                "pocket is the bundled toy model (two million parameters): its answers are nonsense"
            )
        if spec.is_stretched():
            say(
                f"the model was trained on {spec.own_context()} tokens and is served with "
                f"{spec.context}: its answers to longer prompts may be bad"
            )
        say(f"starting vLLM on {spec.model}, log {record.log}")
        with console(stderr=True).status("") as waiting:
            wait(record, process, lambda line: waiting.update(_one_line(line)))
        ending = "memagent serve --stop stops it" if detach else "Ctrl-C stops it"
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
    say(f"{record.model} at {record.url} is used from now on, until memagent serve --stop")
    return record


def _stop(settings: Settings) -> None:
    from memagent.serving.launch import stop

    record = _recorded(settings)
    lived = record.lives()
    stop(record, settings.state_dir)
    if record.pid is None:
        say(f"{record.url} is no longer used; the server itself keeps running")
    else:
        say(f"{record.url} {'is stopped' if lived else 'had stopped already'}")


def _status(settings: Settings, json: bool) -> None:
    from memagent.serving.http import get
    from memagent.serving.record import forget

    record = _recorded(settings)
    if not record.lives():
        forget(settings.state_dir, record)
        raise NotFoundError(f"the server at {record.url} has stopped: see its log")
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


def _one_line(line: str) -> Any:
    from rich.text import Text

    return Text(visible(line), no_wrap=True, overflow="ellipsis")
