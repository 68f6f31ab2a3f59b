"""The command `rope asr`: recognised speech to summaries."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rope.errors import UsageError

if TYPE_CHECKING:
    from rope.asr.answers import ChatModel
    from rope.asr.summarize import SummaryReport

__all__ = ["app"]

app = typer.Typer(help="Summarise recognised speech by a language model.", no_args_is_help=True)


@app.callback()
def commands() -> None:
    """Keep `summarize` a command of its own, where typer would make the only one the whole."""


@app.command()
def summarize(
    data: Annotated[Path, typer.Argument(metavar="DATASET", help="A dataset directory.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Dataset directory to write.", show_default=False)],
    model: Annotated[
        str, typer.Option(help="Name at the endpoint; without --endpoint, on the Hub or a folder.", show_default=False)
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
    language: Annotated[Literal["zh", "en"], typer.Option(help="Of the prompt and its examples.")] = "zh",
    max_characters: Annotated[int, typer.Option(min=1, help="Of a text; the rest is cut off.")] = 2000,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of a summary.")] = 96,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests, or texts in a local batch, at a time.")] = 16,
    tries: Annotated[int, typer.Option(min=1, help="Requests for one text before it is given up.")] = 6,
    timeout: Annotated[float, typer.Option(help="Seconds for one request.")] = 120.0,
    price_in: Annotated[float, typer.Option(min=0, help="Price of a million tokens that the model reads.")] = 0.0,
    price_out: Annotated[float, typer.Option(min=0, help="Price of a million tokens that it writes.")] = 0.0,
    cache: Annotated[
        Path | None, typer.Option(help="File that keeps answers.", show_default="in the cache folder of rope-bench")
    ] = None,
    device: Annotated[str, typer.Option(help="Of a local model: cpu, cuda.", show_default="an accelerator")] = "",
) -> None:
    """Write a dataset whose videos and live clips have summaries for texts; repeat it to go on where it stopped."""
    from rope.asr.prompt import load_prompt
    from rope.asr.summarize import summarize_dataset
    from rope.dataset.locate import cache_folder, locate

    chat: ChatModel
    if endpoint is None:
        from rope.asr.local import LocalModel

        chat = LocalModel(model, device=device, max_tokens=max_tokens, batch_size=concurrency)
    else:
        try:
            from rope.asr.endpoint import Endpoint, EndpointOptions
        except ImportError as error:
            raise UsageError(f"--endpoint needs {error.name}: pip install 'rope-bench[fetch]'") from error

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
    report = summarize_dataset(
        locate(data), out, chat, prompt, cache=cache or cache_folder() / "asr" / "answers.sqlite"
    )
    _print(report, out, report.cost(price_in, price_out) if price_in or price_out else None)


def _key(variable: str | None) -> str | None:
    """The key that a variable of the environment has; only one that is named is read."""
    import os

    if variable is None:
        return None
    if not os.environ.get(variable):
        raise UsageError(f"--key-variable {variable}: is not set in the environment")
    return os.environ[variable]


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
