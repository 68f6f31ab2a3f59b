"""Shared by all commands: how they fail, and how they show progress."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from rope import clash
from rope.errors import MissingExtraError, RopeError, UsageError
from rope.extras import why_missing

if TYPE_CHECKING:
    import typer
    from rich.console import Console

    from rope.files import Address, AnyPath

__all__ = ["dataset_of", "new_app", "output", "parse_bytes", "progress_bar", "resumable", "run_app"]

_INTERRUPTED: Final = 130

Command = TypeVar("Command", bound=Callable[..., None])


def new_app(about: str) -> "typer.Typer":
    """An empty command line, which answers `-h` and `--version`.

    Args:
        about: what its help begins with.
    """
    from typing import Annotated

    import typer

    app = typer.Typer(
        help=about,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def options(
        version: Annotated[
            bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
        ] = False,
    ) -> None:
        """Options that come before the name of a command."""

    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        import typer

        from rope import __version__

        print(f"rope-bench {__version__}")
        raise typer.Exit


def resumable(command: Command) -> Command:
    """Mark a command that resumes where it was stopped, so that an interruption says so."""
    command.__dict__["resumable"] = True
    return command


def run_app(app: "typer.Typer") -> NoReturn:
    """Run a command line to its exit code, with an error of the user's world as one sentence on stderr.

    The exit code is 0, 1 for a check that failed or data that is wrong, 2 for a wrong command, 130 when interrupted.
    """
    try:
        clash.check()
    except ImportError as error:
        _fail(str(error), 1)
    _rename_options(app)
    try:
        app()
    except RopeError as error:
        _fail(str(error), error.exit_code)
    except ImportError as error:
        sentence = why_missing(error, _command(app))
        if sentence is None:
            raise
        _fail(sentence, MissingExtraError.exit_code)
    except OSError as error:  # a full disk, a folder that is not ours to write
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _interrupted(app)
    except SystemExit as ended:  # typer makes an exit code of an interrupt
        if ended.code == _INTERRUPTED:
            _interrupted(app)
        raise
    sys.exit(0)


def _rename_options(app: "typer.Typer") -> None:
    """Take options by their names of the release before, with a line on stderr for each."""
    from rope.moved import RENAMED_OPTIONS, new_options

    old = {name for renamed in RENAMED_OPTIONS.values() for name in renamed}
    if old.isdisjoint(word.partition("=")[0] for word in sys.argv[1:]):
        return
    sys.argv[1:], told = new_options(_command(app), sys.argv[1:])
    for sentence in told:
        print(f"warning: {sentence}", file=sys.stderr)


def _interrupted(app: "typer.Typer") -> NoReturn:
    _, command = _asked(app)
    goes_on = getattr(command, "resumable", False)
    _fail(f"interrupted; the same command {'resumes where it stopped' if goes_on else 'starts over'}", _INTERRUPTED)


def _command(app: "typer.Typer") -> str:
    """The command that is run, as it is typed: `rope curate run`."""
    return _asked(app)[0]


def _asked(app: "typer.Typer") -> tuple[str, object]:
    """The command that is run: as it is typed, and the function that it calls."""
    from typer.main import get_command

    command, words = get_command(app), [Path(sys.argv[0]).stem]
    for word in sys.argv[1:]:
        commands = getattr(command, "commands", {})
        if word in commands:
            command = commands[word]
            words.append(word)
    return " ".join(words), getattr(command, "callback", None)


def _fail(sentence: str, exit_code: int) -> NoReturn:
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(exit_code)


@contextmanager
def progress_bar(description: str, total: int, *, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr while the block runs; yields the function that moves it forward by so many units.

    Nothing is drawn where stderr is not a terminal, or if not `shown`.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    share = TextColumn("{task.percentage:>3.0f} %")
    columns = (TextColumn("{task.description}"), BarColumn(), share, TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal), transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda units: progress.advance(task, units)


def output(*, to_stderr: bool = False) -> "Console":
    """The console for results; a pipe or a file has no width, so that nothing is broken in it.

    Args:
        to_stderr: leave stdout to a program that reads it.
    """
    from rich.console import Console

    from rope.table import UNLIMITED

    console = Console(stderr=to_stderr)
    if not console.is_terminal:
        console.width = UNLIMITED
    return console


def dataset_of(data: "Address | None") -> "AnyPath":
    """The dataset directory that a command works on; says on stderr which one, where the command does not name it."""
    from rope.dataset.locate import find

    found = find(data)
    if found.reason is not None:
        print(f"dataset: {found.directory} ({found.reason})", file=sys.stderr)
    return found.directory


def parse_bytes(text: str, option: str) -> int:
    """Bytes from a number with an optional unit of 1024: K, M, G.

    >>> parse_bytes("256M", "--memory"), parse_bytes("1g", "--memory"), parse_bytes("4096", "--memory")
    (268435456, 1073741824, 4096)

    Raises:
        UsageError: the text is something else; names the option.
    """
    match = re.fullmatch(r"([1-9]\d*)([KMG]?)B?", text.strip().upper())
    if match is None:
        raise UsageError(f"{option} {text!r}: expected a number of bytes, such as 268435456, 256M or 1G")
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2]]
