"""Every command and every baseline on a core install: it works, or says in a sentence which extra it needs.

    python tests/core_only/walk.py

This runs where nothing but the core is installed (`tests/core_only/install.sh` makes such an environment), and in the
tests, where `sitecustomize` hides all other packages. It needs no package of its own beside the core.
"""

import importlib
import io
import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Final

MAIN: Final = {
    "rope": "rope.cli",
    "rope-bench": "rope.bench.cli",
    "cope": "cope.cli",
    "leaderboard": "leaderboard.cli",
    "learn": "baselines.learn.cli",
}
"""The programs; `learn` is `python -m baselines.learn`."""

WORKS: Final = 0
FAILS: Final = 1
REFUSED: Final = 2

COMMANDS: Final[dict[str, int | str]] = {
    # Makes what the others read.
    "rope synthesize release --products 40 --no-mp4 --queries": WORKS,
    "rope build release data": WORKS,
    "rope use data": WORKS,
    "rope-bench run --model baselines:handcrafted --data data --out e.parquet --json e.json": WORKS,
    "rope synthesize raw --products 2 --format pool": WORKS,
    # What the core does.
    "rope validate data --decode": WORKS,
    "rope info data --sheet sheet.png": WORKS,
    "rope croissant data": WORKS,
    "rope export data --out tars --format webdataset": WORKS,
    "rope curate plan pass.toml": WORKS,
    "rope curate run pass.toml --workers 1": WORKS,
    "rope curate status pass.toml": WORKS,
    "rope curate report pass.toml": WORKS,
    "rope curate audit pass.toml": WORKS,
    "rope-bench score e.parquet --data data --quick": WORKS,
    "rope-bench score e.parquet --data data --trials 2": WORKS,
    "rope-bench compare e.json e.json": REFUSED,  # the same model twice
    "rope-bench slices e.json --data data": WORKS,
    "rope-bench tail e.json --data data": WORKS,
    "rope-bench doctor e.parquet --data data --html doctor.html": WORKS,
    "rope-bench gallery e.parquet --data data --html failures.html": WORKS,
    "rope-bench rerank e.json e.parquet --model baselines:evidence --data data --out c.parquet --depth 3": WORKS,
    "rope queries data release/queries.jsonl": WORKS,
    "rope-bench run --model baselines:handcrafted --data data --out e.parquet --queries q.json": WORKS,
    "rope-bench queries e.parquet e.queries.parquet --data data": WORKS,
    "rope-bench recommend items.npz --interactions taken.csv": WORKS,
    "cope recipes": WORKS,
    "cope recipe paper": WORKS,
    # What the core knows too little for here.
    "rope fetch release --out images --status": REFUSED,
    "rope push nowhere --repo somebody/something": REFUSED,
    "rope pull ./nowhere pulled": REFUSED,
    "rope curate why pass.toml nothing": FAILS,
    "rope curate sweep pass.toml": REFUSED,
    "rope curate queries data --labels labels.csv": REFUSED,
    "rope curate threshold pass.toml --labels labels.csv": REFUSED,
    "rope curate publish pass.toml --out published": REFUSED,
    "rope curate annotate export pass.toml --in tasks": WORKS,
    "rope curate annotate import answers.json --in tasks": REFUSED,
    "rope curate precision pass.toml --in tasks": REFUSED,
    "rope curate review pass.toml --in tasks --annotator ann": REFUSED,
    "rope curate annotate labels --in tasks": WORKS,
    "rope-bench product1m nowhere e.parquet": REFUSED,
    # What needs more.
    "rope synthesize films": "video",
    "rope asr transcribe data --out heard --model x": "cope,video",
    "rope asr summarize data --out told --model x": "cope",
    "rope curate run embed.toml --workers 1": "cope",
    "rope curate run pass.toml --engine ray": "ray",
    "rope-bench run --model cope:run --data data --out f.parquet": "cope",
    "rope-bench score e.parquet --data data --device cuda": "torch",
    "rope-bench attributes e.parquet --column category --data data": "torch",
    "rope-bench tsne e.parquet --data data --out map.png --products 4": "figures",
    "rope-bench rerank e.json e.parquet --model baselines:cross_encoder?model=x --data data --out d": "baselines",
    "rope-bench submit e.parquet --model-card card.yaml --data data": "leaderboard",
    "rope-bench leaderboard results": "leaderboard",
    "leaderboard verify results": "leaderboard",
    "leaderboard build results --out site": "leaderboard",
    "cope train data --out run": "cope",
    "cope export run --out onnx": "onnx",
    "learn train items.npz --interactions taken.csv --recipe r.json --out run": "cope",
    "learn embed run items.npz --interactions taken.csv --out vectors": "cope",
}
"""Command line -> its exit code, or the extra that it asks for."""

_EXTRA_OF: Final = {
    "handcrafted": None,
    "http": "cope,fetch",
    "joint": "baselines",
    "mteb_model": "mteb",
    "open_clip": "baselines",
    "sentence_transformer": "baselines",
}

_RERANKERS: Final = {"cross_encoder", "evidence"}

POOL: Final = 'name = "w"\n[pool]\npath = "raw/pool.parquet"\n[[stage]]\nuse = '
FILES: Final = {
    "pass.toml": POOL + '"decode"\n',
    "embed.toml": POOL.replace('"w"', '"v"') + '"embed"\nmodel = "x"\n',
    "taken.csv": "user,item,time\n" + "".join(f"u{user},i{user + k},{k}\n" for user in range(4) for k in range(4)),
    "card.yaml": "id: x\n",
    "results/x/reported.json": '{"schema_version": 1}',
}


def all_commands() -> dict[str, int | str]:
    """The table, with every baseline."""
    import baselines

    runs: dict[str, int | str] = {
        f"rope-bench run --model baselines:{name} --data data --out {name}.parquet": _EXTRA_OF.get(name, "cope")
        or WORKS
        for name in baselines.__all__
        if name not in _RERANKERS
    }
    return {**COMMANDS, **runs, "rope-bench run --model baselines:typo --data data --out x.parquet": REFUSED}


def leaves(program: str) -> Iterator[str]:
    """The commands of a program, as they are typed: `rope curate run`."""
    from typer.main import get_command

    def walk(command: Any, path: str) -> Iterator[str]:
        subcommands = getattr(command, "commands", None)
        if not subcommands:
            yield path
        for name, subcommand in (subcommands or {}).items():
            yield from walk(subcommand, f"{path} {name}")

    module: Any = importlib.import_module(MAIN[program])
    yield from walk(get_command(module.app), program)


def run(line: str) -> tuple[int, str]:
    """Exit code and stderr of a command; 99 with the traceback where it raises."""
    program, *arguments = shlex.split(line)
    main: Callable[[], None] = importlib.import_module(MAIN[program]).main
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = [program, *arguments]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
        return code, err.getvalue()
    except BaseException:
        return 99, traceback.format_exc()
    finally:
        sys.argv = before
    return 0, err.getvalue()


def problem_of(line: str, expected: int | str) -> str | None:
    """What is wrong with how a command ends; None if nothing is."""
    code, err = run(line)
    sentences = err.strip().splitlines()
    if isinstance(expected, int):
        fits = code == expected and (code == 0 or (len(sentences) == 1 and err.startswith("error: ")))
    else:
        fits = code == 2 and len(sentences) == 1 and f"is not installed: pip install 'rope-bench[{expected}]'" in err
    return None if fits else f"{line}\n    expected {expected!r}, ended with {code}: {err}"


def main() -> int:
    """Walk; 1 if a command ends in another way than it should, or is not in the table."""
    import numpy as np

    problems, table = [], all_commands()
    for program in MAIN:
        for command in leaves(program):
            if not any(f"{line} ".startswith(f"{command} ") for line in table):
                problems.append(f"{command} is not in the table of tests/core_only/walk.py")
            if (ended := run(f"{command} --help"))[0] != 0:
                problems.append(f"{command} --help ended with {ended}")
    os.environ |= {"HF_HUB_OFFLINE": "1", "ROPE_CACHE": "cache"}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, text in FILES.items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(text, "utf-8")
        np.savez("items.npz", page=np.eye(8, dtype=np.float32), page_ids=[f"i{i}" for i in range(8)])
        problems += [problem for line, expected in table.items() if (problem := problem_of(line, expected))]
    print("\n".join(problems) or f"all {len(table)} commands end as they should")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
