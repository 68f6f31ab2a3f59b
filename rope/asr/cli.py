"""The command `rope asr`: sound to recognised speech, and that to summaries."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from rope.console import resumable
from rope.errors import UsageError
from rope.extras import needed_by

if TYPE_CHECKING:
    from rope.asr.answers import ChatModel
    from rope.asr.summarize import SummaryReport
    from rope.asr.transcribe import TranscriptReport

__all__ = ["app"]

app = typer.Typer(help="Recognise speech, and summarise it by a language model.", no_args_is_help=True)

_N_DAMAGED_SHOWN: Final = 10

Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Start over where an unfinished output of something else is in the way.")
]


@app.command()
@resumable
def transcribe(
    data: Annotated[Path, typer.Argument(metavar="DATASET", help="A dataset directory.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Dataset directory to write.", show_default=False)],
    model: Annotated[str, typer.Option(help="A Whisper model on the Hub, or a folder with one.", show_default=False)],
    media: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder with videos/ID.mp4, lives/ID.wav, ... for samples that consist of frames.",
            show_default=False,
        ),
    ] = None,
    language: Annotated[
        str, typer.Option(help="Language code of the speech, or auto to let the model detect it.")
    ] = "zh",
    precision: Annotated[
        Literal["fp32", "bf16", "fp16"],
        typer.Option(help="fp32: compute in float32; bf16: in bfloat16; fp16: in float16."),
    ] = "fp32",
    batch_size: Annotated[int, typer.Option(min=1, help="Segments of at most 30 s in a batch.")] = 8,
    cache: Annotated[
        Path | None, typer.Option(help="Cache file for the texts.", show_default="in the cache folder of rope-bench")
    ] = None,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda; auto for an accelerator.")] = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Write a dataset in which videos and live clips without a text have a transcript; repeat it to resume."""
    from rope.dataset.locate import cache_folder, locate_here

    with needed_by("a speech model", "cope,video"):
        from rope.asr.transcribe import transcribe_dataset
        from rope.asr.whisper import Whisper
    report = transcribe_dataset(
        locate_here(data),
        out,
        Whisper(model, language=language, precision=precision, device=device, batch_size=batch_size),
        cache=cache or cache_folder() / "asr" / "transcripts.sqlite",
        media=media,
        overwrite=overwrite,
    )
    _print_transcripts(report, out)


@app.command()
@resumable
def summarize(
    data: Annotated[Path, typer.Argument(metavar="DATASET", help="A dataset directory.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Dataset directory to write.", show_default=False)],
    model: Annotated[
        str,
        typer.Option(
            help="Model name at the endpoint; without --endpoint, a model on the Hub or a folder.", show_default=False
        ),
    ],
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="OpenAI-compatible, as http://localhost:8000/v1.", show_default="this machine"
        ),
    ] = None,
    key_variable: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Environment variable with the endpoint's key.", show_default="no key"),
    ] = None,
    language: Annotated[Literal["zh", "en"], typer.Option(help="zh: a Chinese prompt; en: an English one.")] = "zh",
    max_characters: Annotated[
        int, typer.Option(min=1, help="Characters of a text that are read; the rest is cut off.")
    ] = 2000,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of a summary.")] = 96,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests, or texts in a local batch, at a time.")] = 16,
    tries: Annotated[int, typer.Option(min=1, help="Attempts for one text before it is given up.")] = 6,
    timeout: Annotated[float, typer.Option(help="Seconds for one request.")] = 120.0,
    price_in: Annotated[float, typer.Option(min=0, help="Price of a million tokens that the model reads.")] = 0.0,
    price_out: Annotated[float, typer.Option(min=0, help="Price of a million tokens that it writes.")] = 0.0,
    cache: Annotated[
        Path | None, typer.Option(help="Cache file for the answers.", show_default="in the cache folder of rope-bench")
    ] = None,
    device: Annotated[str, typer.Option(help="Of a local model: cpu, cuda.", show_default="an accelerator")] = "",
    overwrite: Overwrite = False,
) -> None:
    """Write a dataset whose videos and live clips have summaries for texts; repeat it to resume."""
    from rope.asr.prompt import load_prompt
    from rope.asr.summarize import summarize_dataset
    from rope.dataset.locate import cache_folder, locate_here

    chat: ChatModel
    if endpoint is None:
        from rope.asr.local import LocalModel

        chat = LocalModel(model, device=device, max_tokens=max_tokens, batch_size=concurrency)
    else:
        with needed_by("--endpoint", "fetch"):
            from rope.asr.endpoint import Endpoint, EndpointOptions

        options = EndpointOptions(
            url=endpoint,
            model=model,
            seed=0,
            key=_key(key_variable),
            max_tokens=max_tokens,
            concurrency=concurrency,
            tries=tries,
            timeout_s=timeout,
        )
        chat = Endpoint(options)
    prompt = load_prompt(language, max_characters=max_characters)
    kept = cache or cache_folder() / "asr" / "answers.sqlite"
    report = summarize_dataset(locate_here(data), out, chat, prompt, cache=kept, overwrite=overwrite)
    _print(report, out, report.cost(price_in, price_out) if price_in or price_out else None)


def _key(variable: str | None) -> str | None:
    """The key that a variable of the environment has; only one that is named is read."""
    import os

    if variable is None:
        return None
    if not os.environ.get(variable):
        raise UsageError(f"--key-variable {variable}: is not set in the environment")
    return os.environ[variable]


def _print_transcripts(report: "TranscriptReport", out: Path) -> None:
    counts = report.counts
    if not report.is_new:
        typer.echo(f"{out}: is up to date; fingerprint {report.manifest.fingerprint[:12]}")
        return
    typer.echo(f"{out}: written; fingerprint {report.manifest.fingerprint[:12]}")
    typer.echo(
        f"{counts.get('speech', 0):,} samples have a new text; without one stay {counts.get('silent', 0):,} in which "
        f"nobody speaks, {counts.get('no_track', 0):,} without a track of sound, {counts.get('no_file', 0):,} that are "
        f"frames only, {counts.get('damaged', 0):,} broken"
    )
    typer.echo(f"listened to {report.n_heard:,} different files now")
    for sentence in report.damaged[:_N_DAMAGED_SHOWN]:
        typer.echo(f"    {sentence}")
    if len(report.damaged) > _N_DAMAGED_SHOWN:
        typer.echo(f"    and {len(report.damaged) - _N_DAMAGED_SHOWN:,} more")


def _print(report: "SummaryReport", out: Path, cost: float | None) -> None:
    counts = report.outcomes
    if not report.is_new:
        typer.echo(f"{out}: is up to date; fingerprint {report.manifest.fingerprint[:12]}")
        return
    typer.echo(f"{out}: written; fingerprint {report.manifest.fingerprint[:12]}")
    typer.echo(
        f"{counts.get('summary', 0):,} summaries; {counts.get('empty', 0):,} empty and {counts.get('refused', 0):,} "
        f"refused, now null; {report.n_null:,} samples had no text"
    )
    price = "" if cost is None else f", at a cost of {cost:.2f}"
    typer.echo(
        f"asked about {report.n_asked:,} different texts now: {report.prompt_tokens:,} tokens read, "
        f"{report.completion_tokens:,} written{price}"
    )
