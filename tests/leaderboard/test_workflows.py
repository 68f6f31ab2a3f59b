"""The rules of the workflows, and what of a pull request becomes a file; docs/leaderboard.md gives the threat model."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

GITHUB = Path(__file__).parents[2] / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.y*ml"))
RESULTS = "leaderboard/results"


def load(path):
    return yaml.safe_load(path.read_text("utf-8"))


def events(workflow):
    """What starts a workflow; YAML 1.1 reads the key `on` as true."""
    found = workflow[True]
    return {found} if isinstance(found, str) else set(found)


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
class TestEveryWorkflow:
    def test_no_event_gives_the_code_of_a_pull_request_more_than_a_fork_has(self, path):
        assert not events(load(path)) & {"pull_request_target", "workflow_run", "issue_comment"}

    def test_only_what_a_maintainer_starts_runs_on_a_runner_of_our_own(self, path):
        workflow = load(path)
        for job in workflow["jobs"].values():
            is_hosted = re.fullmatch(r"(ubuntu|macos|windows)-[\w.-]+", str(job["runs-on"])) is not None
            is_matrix = re.fullmatch(r"\$\{\{ matrix\.\w+ \}\}", str(job["runs-on"])) is not None
            assert is_hosted or is_matrix or events(workflow) == {"workflow_dispatch"}
            if is_matrix:
                assert "self-hosted" not in str(job["strategy"])

    def test_every_action_is_one_commit(self, path):
        for step in steps(load(path)):
            assert "uses" not in step or re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", step["uses"])

    def test_the_token_can_only_read_and_is_not_kept(self, path):
        workflow = load(path)
        assert workflow["permissions"] == {"contents": "read"}
        allowed = {("release.yml", "publish"): {"contents": "read", "id-token": "write"}}
        asked = {
            (path.name, name): job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job
        }
        assert all(allowed.get(job) == permissions for job, permissions in asked.items())
        for step in steps(workflow):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
                assert not {"lfs", "submodules"} & set(step["with"])

    def test_no_secret_is_named_and_no_text_of_others_is_put_into_a_script(self, path):
        assert "secrets." not in path.read_text("utf-8")
        assert all("${{" not in step.get("run", "") for step in steps(load(path)))


def test_only_a_tag_that_a_maintainer_lets_through_is_published():
    workflow = load(GITHUB / "workflows" / "release.yml")
    assert workflow[True] == {"push": {"tags": ["v*"]}}
    publish = workflow["jobs"]["publish"]
    assert publish["environment"] == "pypi"
    scripts = [step.get("run", "") for step in publish["steps"]]
    assert scripts[-2].startswith("sha256sum --check --strict")
    assert scripts[-1] == "uv publish --trusted-publishing always"
    assert not any("pytest" in script or "walk.py" in script for script in scripts)


def test_each_extra_is_tested_alone_or_comes_with_no_tests_of_its_own():
    listed = {
        row["extra"]
        for row in load(GITHUB / "workflows" / "tests.yml")["jobs"]["extras"]["strategy"]["matrix"]["include"]
    }
    known = set(
        tomllib.loads((GITHUB.parent / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    )
    assert known - listed == {
        "all",
        "decord",
        "dev",
        "docs",
        "fast",
        "figures",
        "heic",
        "lora",
        "mutants",
        "peers",
        "torchcodec",
    }


def test_every_path_of_the_matrix_exists():
    rows = load(GITHUB / "workflows" / "tests.yml")["jobs"]["extras"]["strategy"]["matrix"]["include"]
    assert [path for row in rows for path in row["tests"].split() if not (GITHUB.parent / path).exists()] == []


def test_rows_are_verified_with_a_log_that_anyone_may_read():
    scripts = [step.get("run", "") for path in WORKFLOWS for step in steps(load(path))]
    commands = [script for script in scripts if re.search(r'leaderboard"? verify', script)]
    assert len(commands) == 2
    assert all("--public-log" in command and "--base base/" in command for command in commands)


def test_no_dataset_but_the_synthetic_one_is_within_reach_of_a_pull_request():
    text = (GITHUB / "workflows" / "leaderboard.yml").read_text("utf-8")
    assert "vars." not in text
    assert re.findall(r"--data (\S+)", text) == ['"$RUNNER_TEMP/mini-rope"']


def test_licensed_data_are_read_only_by_the_program_of_the_default_branch():
    workflow = load(GITHUB / "workflows" / "leaderboard-licensed.yml")
    (job,) = workflow["jobs"].values()
    assert job["if"].startswith("github.ref_name == github.event.repository.default_branch")
    (checkout,) = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
    assert "ref" not in checkout["with"]
    assert "repository" not in checkout["with"]


# What of a pull request becomes a file


class Repository:
    """A repository with a base branch and a pull request 7, both to be filled, merged as GitHub does it."""

    def __init__(self, path):
        self.path = path
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words):
        options = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always"]
        done = subprocess.run(["git", *options, *words], cwd=self.path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, files):
        for name, content in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "x")

    def open_pull_request(self):
        head = self.git("rev-parse", "HEAD")
        self.git("checkout", "--quiet", "main")
        self.git("merge", "--quiet", "--no-ff", "--message", "m", head)
        self.git("update-ref", "refs/pull/7/merge", "HEAD")
        self.git("reset", "--quiet", "--hard", "HEAD^1")
        return head

    def fetch(self, head, out, number="7", **environment):
        words = ["bash", GITHUB / "fetch-rows.sh", self.path, number, head, out]
        return subprocess.run(words, capture_output=True, text=True, env=os.environ | environment)


@pytest.fixture
def repository(tmp_path):
    """A base with the rows of `old`, onto which `newer` lands after the pull request was started."""
    (tmp_path / "origin").mkdir()
    made = Repository(tmp_path / "origin")
    made.commit({f"{RESULTS}/old/a.json": b"{}", "setup.py": b""})
    made.git("checkout", "--quiet", "-b", "pull")
    made.git("checkout", "--quiet", "main")
    made.commit({f"{RESULTS}/newer/a.json": b"{}"})
    made.git("checkout", "--quiet", "pull")
    return made


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_rows_of_the_merge_and_of_the_base_become_files_and_nothing_else_does(repository, tmp_path):
    repository.commit({f"{RESULTS}/mine/a.json": b"1\r\n", "setup.py": b"evil()", "leaderboard/verify.py": b"evil()"})
    done = repository.fetch(repository.open_pull_request(), tmp_path / "out")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    base = {f"base/{RESULTS}/{name}/a.json": b"{}" for name in ("old", "newer")}
    merged = {f"submission/{RESULTS}/{name}/a.json": b"{}" for name in ("old", "newer")}
    assert files(tmp_path / "out") == base | merged | {f"submission/{RESULTS}/mine/a.json": b"1\r\n"}


def test_attributes_filters_and_hooks_of_a_pull_request_change_no_byte_and_run_nothing(repository, tmp_path):
    rows = {f"{RESULTS}/mine/a.json": b"$Id$\nline\n", f"{RESULTS}/mine/b.parquet": b"\0\n\xff"}
    config = b'[filter "evil"]\n\tsmudge = touch %s\n' % bytes(tmp_path / "ran")
    repository.commit(rows | {".gitconfig": config, ".lfsconfig": b"[lfs]\n\turl = https://evil.example.org\n"})
    repository.commit({".gitattributes": b"* text eol=crlf ident filter=evil\n"})
    done = repository.fetch(repository.open_pull_request(), tmp_path / "out", HOME=str(repository.path))
    assert (done.returncode, done.stderr) == (0, "")
    out = tmp_path / "out" / "submission"
    assert {name: content for name, content in files(out).items() if "/mine/" in name} == rows
    assert not (tmp_path / "ran").exists()


def add_link(repository):
    (repository.path / RESULTS / "old" / "b.json").symlink_to("/etc/passwd")


def add_submodule(repository):
    repository.git("submodule", "--quiet", "add", str(repository.path), f"{RESULTS}/mine")


def add_hidden(repository):
    (repository.path / RESULTS / "old" / ".gitattributes").write_text("* filter=evil")


def add_long_name(repository):
    (repository.path / RESULTS / "old" / "a\n::warning::b").write_text("x")


@pytest.mark.parametrize(
    ("add", "reason"),
    [
        (add_link, "old/b.json is a link or a submodule"),
        (add_submodule, "mine is a link or a submodule"),
        (add_hidden, "a path that no row has"),
        (add_long_name, "a path that no row has"),
    ],
)
def test_what_is_no_plain_file_of_a_row_is_refused(repository, tmp_path, add, reason):
    add(repository)
    repository.commit({})
    done = repository.fetch(repository.open_pull_request(), tmp_path / "out")
    assert done.returncode == 1
    assert reason in done.stderr
    assert "::warning" not in done.stderr


def test_a_pull_request_that_changed_since_it_was_looked_at_is_refused(repository, tmp_path):
    repository.commit({f"{RESULTS}/mine/a.json": b"1"})
    looked_at = repository.git("rev-parse", "HEAD")
    repository.commit({f"{RESULTS}/mine/a.json": b"2"})
    repository.open_pull_request()
    done = repository.fetch(looked_at, tmp_path / "out")
    assert (done.returncode, "not at HEAD any more" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("number", "head", "reason"),
    [
        ("7; touch x", "a" * 40, "NUMBER is not"),
        ("--upload-pack=x", "a" * 40, "NUMBER is not"),
        ("7", "main", "HEAD is not"),
        ("8", "a" * 40, "no merge of pull request 8"),
    ],
)
def test_what_names_no_pull_request_is_refused(repository, tmp_path, number, head, reason):
    done = repository.fetch(head, tmp_path / "out", number)
    assert (done.returncode, reason in done.stderr) == (1, True)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize %d\n"


@pytest.fixture
def with_lfs(tmp_path):
    """PATH with a `git-lfs` that writes where it was told to look."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = '#!/bin/sh\ncat > /dev/null\nprintf "%s %s" "$1" "$(git config lfs.url)"\n'
    (folder / "git-lfs").write_text(script)
    (folder / "git-lfs").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_large_files_come_from_the_repository_whatever_the_pull_request_says(repository, tmp_path, with_lfs):
    rows = {f"{RESULTS}/mine/a.parquet": POINTER % 5, ".lfsconfig": b"[lfs]\n\turl = https://evil.example.org\n"}
    repository.commit(rows)
    done = repository.fetch(repository.open_pull_request(), tmp_path / "out", PATH=with_lfs)
    assert (done.returncode, done.stderr) == (0, "")
    fetched = (tmp_path / "out" / "submission" / RESULTS / "mine" / "a.parquet").read_text()
    assert fetched == f"smudge {repository.path}/info/lfs"


@pytest.mark.parametrize("size", [(512 << 20) + 1, 10**15])
def test_large_files_that_are_too_large_are_not_fetched(repository, tmp_path, with_lfs, size):
    repository.commit({f"{RESULTS}/mine/a.parquet": POINTER % size})
    done = repository.fetch(repository.open_pull_request(), tmp_path / "out", PATH=with_lfs)
    assert (done.returncode, "stands for more than" in done.stderr) == (1, True)


def test_the_limit_of_a_file_is_that_of_the_vectors():
    from leaderboard.vectors import MAX_BYTES

    shift = int(re.search(r"max_bytes=\$\(\(512 << (\d+)\)\)", (GITHUB / "fetch-rows.sh").read_text("utf-8"))[1])
    assert 512 << shift == MAX_BYTES


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_script_is_sound_shell():
    subprocess.run(["shellcheck", GITHUB / "fetch-rows.sh"], check=True)
