"""The command `rope`: build, validate and describe datasets, and make synthetic ones.

Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rope.asr.cli import app as asr
from rope.console import new_app, output, parse_bytes, progress_bar, resumable, run_app
from rope.curation.cli import app as curate
from rope.domain import DOMAINS
from rope.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rope.dataset.build import BuildReport
    from rope.dataset.manifest import DatasetManifest
    from rope.dataset.validate import Problem
    from rope.domain import Split

__all__ = ["main"]

app = new_app("Datasets of products seen on pages, in short videos and in live streams: build, check, describe.")

app.add_typer(asr, name="asr")
app.add_typer(curate, name="curate")

ReleaseFormat = Literal[
    "rope", "product1m", "m5product", "lpr4m", "movingfashion", "grocery", "abo", "abo-mvr", "mbeir", "mmeb", "folder"
]
"""As `rope.sources.formats.Format`, whose module takes long to import."""

Format = Annotated[
    ReleaseFormat | None,
    typer.Option(
        "--format",
        help="Kind of release. rope: ROPE; product1m: Product1M; m5product: M5Product; lpr4m: LPR4M; "
        "movingfashion: MovingFashion; grocery: the Grocery Store dataset; abo: Amazon Berkeley Objects; "
        "abo-mvr: its benchmark of multi-view retrieval; mbeir: M-BEIR; mmeb: the image tasks of MMEB; "
        "folder: one of your own, with a table.",
        show_default="told by the names of its files",
    ),
]

Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Start over where an unfinished output of something else is in the way.")
]

Directory = Annotated[
    str,
    typer.Argument(metavar="OUT", help="A dataset directory, or its address, such as s3://b/OUT.", show_default=False),
]


@app.command()
@resumable
def build(
    release: Annotated[
        Path, typer.Argument(metavar="RELEASE", help="Folder with the text files of a release.", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Dataset directory to write.", show_default=False)],
    release_format: Format = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            help="Encoding of text files without a byte order mark: gb18030, utf-16-le.", show_default="utf-8"
        ),
    ] = None,
    media: Annotated[
        Literal["embed", "reference"],
        typer.Option(help="embed: put images and videos into the dataset; reference: only the paths of their files."),
    ] = "embed",
    image_root: Annotated[
        Path | None,
        typer.Option(
            help="Folder that image and video names are relative to.", show_default="RELEASE/images or RELEASE"
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the dataset in reports.", show_default="that of RELEASE, or of the open dataset"),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            min=1, help="Frames to keep of each clip: those that rope fetch --frames fetches.", show_default="all"
        ),
    ] = None,
    shard_size: Annotated[str, typer.Option(help="Target size of a Parquet file: bytes, or 64M, 1G.")] = "256M",
    memory: Annotated[str, typer.Option(help="Memory for joining and sorting: bytes, or 512M, 2G.")] = "1G",
    strict: Annotated[bool, typer.Option("--strict", help="Stop at faults that would be quarantined.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Build a dataset directory from a release; it becomes the one that is loaded by default."""
    from rope.dataset.build import build_dataset
    from rope.dataset.locate import remember

    report = build_dataset(
        release,
        out,
        release_format=release_format,
        encoding=encoding,
        media=media,
        image_root=image_root,
        name=name,
        n_frames=frames,
        shard_bytes=parse_bytes(shard_size, "--shard-size"),
        memory_bytes=parse_bytes(memory, "--memory"),
        strict=strict,
        overwrite=overwrite,
    )
    remember(out)
    _print_build(report, out)


@app.command()
@resumable
def fetch(
    to: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the images.", show_default=False)],
    release: Annotated[
        Path | None,
        typer.Argument(metavar="RELEASE", help="Folder with the text files of a release.", show_default=False),
    ] = None,
    open_set: Annotated[
        Literal["abo", "grocery"] | None,
        typer.Option(
            "--open",
            help="Fetch all of a dataset under an open licence instead. abo: Amazon Berkeley Objects; grocery: the "
            "Grocery Store dataset.",
            show_default=False,
        ),
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(metavar="URL", help="URL prefix that is put before each name.", show_default=False)
    ] = None,
    layout: Annotated[
        Literal["files", "tar"] | None,
        typer.Option(help="files: one for each image; tar: shards of many.", show_default="what DIR has, or files"),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            min=1, help="Frames to fetch of each clip: those that a model with so many frames uses.", show_default="all"
        ),
    ] = None,
    release_format: Format = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            help="Encoding of text files without a byte order mark: gb18030, utf-16-le.", show_default="utf-8"
        ),
    ] = None,
    checksums: Annotated[
        Path | None, typer.Option(help="List of checksums, as sha256sum writes it.", show_default=False)
    ] = None,
    connections: Annotated[int, typer.Option("--concurrency", min=1, help="Requests at a time.")] = 64,
    per_host: Annotated[int, typer.Option(min=1, help="Connections to one host at a time.")] = 64,
    rate: Annotated[
        float | None,
        typer.Option("--per-second", help="Requests per second to one host.", show_default="as many as go"),
    ] = None,
    tries: Annotated[int, typer.Option(min=1, help="Attempts for an image before it is given up.")] = 6,
    timeout: Annotated[float, typer.Option(help="Seconds for one request.")] = 120.0,
    min_speed: Annotated[float, typer.Option(min=0, help="Bytes per second; a slower request is aborted.")] = 1024.0,
    max_bytes: Annotated[str, typer.Option(help="Largest image to accept: bytes, or 512K, 32M.")] = "32M",
    max_video_bytes: Annotated[
        str, typer.Option(help="Largest video or sound file to accept: bytes, or 512M, 1G.")
    ] = "1G",
    video_timeout: Annotated[float, typer.Option(help="Seconds for one request of a video or sound file.")] = 3600.0,
    header: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'NAME: VALUE'",
            help="Sent only to the server of --prefix; may be repeated, or in ROPE_FETCH_HEADERS, one a line.",
            show_default=False,
        ),
    ] = None,
    cookies: Annotated[
        Path | None,
        typer.Option(help="File of cookies in Netscape's format, or in ROPE_FETCH_COOKIES.", show_default=False),
    ] = None,
    allow_redirects_to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST", help="Another host that redirects may go to; may be repeated.", show_default=False
        ),
    ] = None,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Allow the host of --prefix to have a private address.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Retry images that were given up.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Print what is there and what failed, and exit.")] = False,
    shard_size: Annotated[str, typer.Option(help="Target size of a tar shard: bytes, or 64M, 1G.")] = "256M",
    memory: Annotated[str, typer.Option(help="Memory for the list of images: bytes, or 512M, 2G.")] = "512M",
) -> None:
    """Fetch the images and videos of a release, or an open dataset by name; repeat it to resume.

    The exit code is 1 if nothing was fetched.
    """
    from rope.fetch.access import read_access
    from rope.fetch.fetch import fetch_images, fetch_status
    from rope.fetch.limits import FetchLimits, host_of
    from rope.fetch.open_sets import OPEN_SETS, prepare
    from rope.fetch.report import sentences

    if (release is None) == (open_set is None) or (open_set is not None and release_format is not None):
        raise UsageError("name the folder of a release, with --format if need be, or a dataset with --open")
    folder, release_format = release or to, open_set or release_format
    for sentence in OPEN_SETS[open_set].terms if open_set is not None else ():
        typer.echo(sentence)
    memory_bytes, is_in_vain = parse_bytes(memory, "--memory"), False
    if not status:
        limits = FetchLimits(
            seed=0,
            connections=connections,
            per_host=per_host,
            requests_per_s=rate,
            tries=tries,
            total_s=timeout,
            min_bytes_per_s=min_speed,
            max_bytes=parse_bytes(max_bytes, "--max-bytes"),
            max_video_bytes=parse_bytes(max_video_bytes, "--max-video-bytes"),
            video_total_s=video_timeout,
            redirect_hosts=frozenset(host.lower() for host in allow_redirects_to or ()),
            private_hosts=host_of(prefix) if allow_private else frozenset(),
        )
        if open_set is not None:
            prefix, checksums = prepare(open_set, to, prefix=prefix, limits=limits, checksums=checksums)
        report = fetch_images(
            folder,
            to,
            prefix=prefix,
            limits=limits,
            release_format=release_format,
            encoding=encoding,
            layout=layout,
            n_frames=frames,
            checksums=checksums,
            retry_lost=retry_failed,
            access=read_access(header or (), cookies),
            shard_bytes=parse_bytes(shard_size, "--shard-size"),
            memory_bytes=memory_bytes,
        )
        typer.echo(f"{to}: fetched {report.n_fetched:,} now, {report.n_bytes / 1e6:,.1f} MB")
        is_in_vain = bool(report.lost) and report.n_fetched == 0
    found = fetch_status(folder, to, release_format=release_format, encoding=encoding, memory_bytes=memory_bytes)
    for sentence in sentences(found, to):
        typer.echo(sentence)
    if not status and (is_in_vain or (found.n_there == 0 and found.lost)):
        raise typer.Exit(1)


@app.command()
def validate(
    directory: Directory,
    official: Annotated[
        bool, typer.Option("--official", help="Also compare the sizes with those published for ROPE.")
    ] = False,
    decode: Annotated[
        bool, typer.Option("--decode", help="Decode every image to its last pixel, not only its header.")
    ] = False,
) -> None:
    """Check files, rows and images of a dataset directory; prints every problem, and exits 1 if there is one."""
    from rope.dataset.locate import locate
    from rope.dataset.manifest import read_manifest
    from rope.dataset.validate import validate as find_problems

    folder = locate(directory)
    manifest = read_manifest(folder)
    with progress_bar("checking", sum(shard.bytes for shard in manifest.shards.values())) as advance:
        problems = find_problems(folder, decode=decode, official=official, advance=advance)
    if problems:
        _print_problems(problems, directory)
        raise typer.Exit(1)
    typer.echo(f"{directory}: sound; {_summary(manifest)}")


@app.command()
def info(
    directory: Directory,
    sheet: Annotated[
        Path | None, typer.Option(help="Draw a contact sheet into this PNG file.", show_default=False)
    ] = None,
    products: Annotated[int, typer.Option(min=1, help="Products on the contact sheet.")] = 8,
) -> None:
    """Describe a dataset directory: sizes, texts, frames, categories, and a contact sheet."""
    from rope.dataset.info import describe, tables
    from rope.dataset.locate import locate
    from rope.dataset.sheet import draw_sheet

    folder = locate(directory)
    description, console = describe(folder), output()
    for table in tables(description):
        console.print(table)
    if sheet is not None:
        has_validation = description.manifest.counts.get("validation", {}).get("products", 0) > 0
        split: Split = "validation" if has_validation else "train"
        draw_sheet(folder, sheet, split, n_products=products)
        typer.echo(f"wrote {sheet}")


@app.command()
def use(directory: Directory) -> None:
    """Make a dataset directory the default in this folder and below it, before the one built last; ROPE_DATA wins."""
    from rope.dataset.locate import choose

    typer.echo(f"wrote {choose(directory, Path.cwd())}")


@app.command()
def synthesize(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Output folder.", show_default=False)],
    products: Annotated[int, typer.Option(min=2, help="How many products.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    layout: Annotated[
        Literal["release", "pool"],
        typer.Option("--format", help="release: to build a dataset from; pool: raw, to curate."),
    ] = "release",
    domains: Annotated[
        str, typer.Option(help="Domains of a release, separated by commas: page, video, live, and review.")
    ] = ",".join(DOMAINS),
    mp4: Annotated[
        bool, typer.Option(help="Write a tenth of a release's videos as MP4 too, which needs the extra 'video'.")
    ] = True,
    queries: Annotated[
        bool, typer.Option("--queries", help="Plant search queries too, in queries.jsonl of a release.")
    ] = False,
) -> None:
    """Make a small artificial release or raw pool to try everything without licensed data."""
    from rope.synthetic.pool import write_pool
    from rope.synthetic.release import write_release

    chosen = tuple(domain.strip() for domain in domains.split(","))
    if layout == "release":
        write_release(out, products=products, seed=seed, domains=chosen, mp4=mp4, queries=queries)
    elif queries:
        raise UsageError("--queries: a raw pool has none; plant them in a release")
    elif chosen != DOMAINS:
        raise UsageError(
            f"--domains {domains}: a raw pool has {', '.join(DOMAINS)}; choose other domains for a release"
        )
    else:
        write_pool(out, products=products, seed=seed)
    typer.echo(f"wrote {products} products to {out}")


@app.command(name="queries")
def add_query_table(
    directory: Annotated[
        Path, typer.Argument(metavar="OUT", help="A dataset directory on this machine.", show_default=False)
    ],
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help="Search queries, Parquet or lines of JSON: query_id, text, images, positives ...",
            show_default=False,
        ),
    ],
    split: Annotated[
        Literal["train", "validation"],
        typer.Option(help="train: what models learn from; validation: what results are of."),
    ] = "validation",
) -> None:
    """Check a table of search queries against a dataset, and put it beside its samples."""
    from rope.dataset.locate import locate_here
    from rope.dataset.queries import add_queries

    added = add_queries(locate_here(directory), split, table)
    typer.echo(f"{directory}/{added.name}: {len(added.queries):,} queries ({added.fingerprint[:12]})")


@app.command()
@resumable
def push(
    directory: Directory,
    repo: Annotated[str, typer.Option(metavar="ORG/NAME", help="Dataset repository on the Hub.", show_default=False)],
    public: Annotated[
        bool, typer.Option("--public", help="Make a new repository that everybody can see; without it, a private one.")
    ] = False,
    i_have_the_right: Annotated[
        bool, typer.Option("--i-have-the-right", help="Confirm that you may publish these images and texts.")
    ] = False,
) -> None:
    """Send a dataset directory to the Hugging Face Hub; repeat it to resume."""
    from rope.dataset.locate import locate_here
    from rope.share.hub import open_hub
    from rope.share.push import push_dataset

    report = push_dataset(
        locate_here(directory), repo, api=open_hub(to_write=True), public=public, i_have_the_right=i_have_the_right
    )
    visibility = "private" if report.private else "public"
    counts = f"{report.n_sent} files sent, {report.n_kept} there already, {report.n_deleted} of before deleted"
    typer.echo(f"{report.url}: {visibility}; {counts}")


@app.command()
@resumable
def pull(
    repo: Annotated[str, typer.Argument(metavar="ORG/NAME", help="Dataset repository on the Hub.", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Dataset directory to write.", show_default=False)],
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit.", show_default="the newest of main")
    ] = None,
) -> None:
    """Fetch a dataset from the Hugging Face Hub and check it; it becomes the one that is loaded by default."""
    from rope.dataset.locate import remember
    from rope.share.hub import open_hub
    from rope.share.pull import pull_dataset

    report = pull_dataset(repo, out, api=open_hub(to_write=False), revision=revision)
    remember(out)
    state = "pulled" if report.is_new else "is up to date"
    typer.echo(f"{out}: {state}, commit {report.commit[:12]}; {_summary(report.manifest)}")


@app.command()
def croissant(directory: Directory) -> None:
    """Describe a dataset directory in Croissant 1.1, in the file croissant.json beside its card."""
    from rope.dataset.locate import locate_here
    from rope.share.croissant import write_croissant

    typer.echo(f"wrote {write_croissant(locate_here(directory))}")


@app.command()
@resumable
def export(
    directory: Directory,
    to: Annotated[Path, typer.Option("--out", metavar="DIR", help="Output folder.", show_default=False)],
    layout: Annotated[
        Literal["webdataset"], typer.Option("--format", help="webdataset: tar files as that library reads them.")
    ] = "webdataset",
    shard_size: Annotated[str, typer.Option(help="Target size of a tar file: bytes, or 64M, 1G.")] = "256M",
    overwrite: Overwrite = False,
) -> None:
    """Write the samples in another layout; repeat it to resume."""
    from rope.dataset.locate import locate_here
    from rope.share.webdataset import export_webdataset

    n_bytes = parse_bytes(shard_size, "--shard-size")
    report = export_webdataset(locate_here(directory), to, shard_bytes=n_bytes, overwrite=overwrite)
    state = "written" if report.is_new else "is up to date"
    typer.echo(f"{to}: {layout} {state}; {report.n_samples:,} samples in {report.n_files} files")


def _print_build(report: "BuildReport", out: Path) -> None:
    typer.echo(f"{out}: {'built' if report.is_new else 'is up to date'}; {_summary(report.manifest)}")
    for fault in report.faults:
        typer.echo(f"{fault.count:,} x {fault.kind}, {fault.rule}:")
        for example in fault.examples:
            typer.echo(f"    {example}")


def _print_problems(problems: "Sequence[Problem]", directory: str) -> None:
    from rope.table import Table

    table = Table(f"{directory}: {len(problems)} problems")
    table.add_column("where")
    table.add_column("what")
    for problem in problems:
        table.add_row(problem.where, problem.what)
    output().print(table)


def _summary(manifest: "DatasetManifest") -> str:
    from rope.dataset.info import sizes

    shown = "; ".join(f"{split}: {words}" for split, words in sizes(manifest).items())
    return f"{shown}; fingerprint {manifest.fingerprint[:12]}"


def main() -> None:
    """The console script `rope`."""
    run_app(app)
