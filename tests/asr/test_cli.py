"""`rope asr summarize` from end to end, on an endpoint that misbehaves."""

import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from rope.asr.cli import app
from rope.errors import UsageError
from tests.asr.chat_server import ChatServer
from tests.dataset.conftest import small_tables, write_tables


@pytest.fixture
def data(tmp_path):
    tables = small_tables()
    for row, kind in zip(tables["videos/train"], ("broken", "nothing"), strict=True):
        row["text"] = f"{kind} {row['sample_id']}"
    return write_tables(tmp_path / "small", tables)


def run(data, url, *more):
    command = ["summarize", str(data), "--out", str(data.parent / "out"), "--model", "tiny", "--endpoint", url]
    command += ["--cache", str(data.parent / "answers.sqlite"), *more]
    return CliRunner().invoke(app, command)


def test_a_dataset_is_summarised_and_the_cost_reported(data):
    with ChatServer() as server:
        first = run(data, server.url, "--price-in", "1000", "--price-out", "1000")
        again = run(data, server.url)
    assert first.exit_code == 0, first.output
    assert "7 summaries; 1 empty and 0 refused, now null; 0 samples had no text" in first.output
    assert "asked about 7 different texts now: 700 tokens read, 49 written, at a cost of 0.75" in first.output
    assert "is up to date" in again.output
    assert server.asked["broken 9"] == 2


def test_a_key_is_read_only_from_a_variable_that_is_named(data, monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret")
    with ChatServer() as server:
        run(data, server.url, "--key-variable", "MY_KEY")
        assert {headers["Authorization"] for headers in server.headers} == {"Bearer secret"}
    missing = run(data, "http://127.0.0.1:1", "--key-variable", "NO_SUCH_VARIABLE")
    assert isinstance(missing.exception, UsageError)


def test_a_model_has_to_be_named(data):
    result = CliRunner().invoke(app, ["summarize", str(data), "--out", str(data.parent / "out")])
    assert result.exit_code == 2


def test_a_killed_run_asks_for_the_rest_alone(data):
    tables = small_tables()
    for name in ("videos/train", "videos/validation"):
        for row in tables[name]:
            row["text"] = f"late {row['sample_id']}"
    write_tables(data, tables)
    with ChatServer() as server:
        program = "from rope.asr.cli import app; app()"
        command = [sys.executable, "-c", program, "summarize", str(data), "--out", str(data.parent / "out")]
        command += ["--model", "tiny", "--endpoint", server.url, "--concurrency", "1"]
        command += ["--cache", str(data.parent / "answers.sqlite")]
        killed = subprocess.Popen(command, env=os.environ, stderr=subprocess.DEVNULL)
        while len(server.asked) < 3:
            assert killed.poll() is None
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert not (data.parent / "out").exists()
        result = run(data, server.url)
    assert result.exit_code == 0, result.output
    assert max(server.asked.values()) <= 2
    assert sum(n - 1 for n in server.asked.values()) <= 1  # the one that was on its way


def test_a_dataset_is_transcribed_by_a_model_of_a_folder(tmp_path):
    pytest.importorskip("transformers")
    from tests.asr.speech_models import save_whisper
    from tests.asr.spoken import spoken_dataset

    data, model = spoken_dataset(tmp_path), save_whisper(tmp_path / "model")
    command = ["transcribe", str(data), "--out", str(tmp_path / "out"), "--model", str(model), "--device", "cpu"]
    command += ["--cache", str(tmp_path / "texts.sqlite")]
    first, again = CliRunner().invoke(app, command), CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    assert (
        "3 samples have a new text; without one stay 1 in which nobody speaks, 1 without a track of sound, 1 that are "
        "frames only, 1 broken" in first.output
    )
    assert "listened to 5 different files now" in first.output
    assert "videos v6: " in first.output
    assert "is up to date" in again.output
