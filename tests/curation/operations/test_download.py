"""Media of the web are brought into a folder, by the rules of `rope fetch`."""

import pytest

from rope.curation.pipeline.runner import run_recipe
from tests.curation.pipeline.test_places import recipe_at
from tests.curation.pools import column, local, write_rows

pytest.importorskip("aiohttp")

from tests.fetch.server import ServerThread


@pytest.fixture
def server():
    with ServerThread(behave=lambda name: name.partition(".")[0]) as started:
        yield started


def recipe(folder, server, more="", names=("good", "404", "html", "503_once")):
    write_rows(folder / "pool.parquet", [f"http://127.0.0.1:{server.port}/images/{name}" for name in names])
    stage = f'use = "download"\nfolder = "media"\ntries = 2\nbackoff_s = 0.01\nprivate_hosts = ["127.0.0.1"]\n{more}'
    return recipe_at(folder, "pool.parquet", "work", stage, 'use = "decode"')


def test_what_arrives_is_decoded_and_what_does_not_has_its_reason(server, tmp_path):
    made = recipe(tmp_path, server)
    run_recipe(made, local(1), progress=False)
    assert len(column(made, "decode", "id")) == 2
    assert sorted(column(made, "download", "reason", "rejects")) == ["http_status", "not_an_image"]
    assert all(frames[0]["path"].startswith(str(tmp_path / "media")) for frames in column(made, "decode", "frames"))


def test_trying_again_requests_nothing_that_is_there(server, tmp_path):
    run_recipe(recipe(tmp_path, server), local(1), progress=False)
    before = server.requests.copy()
    run_recipe(recipe(tmp_path, server, "again = 1"), local(1), progress=False)
    asked = server.requests - before
    assert {name.partition(".")[0] for name in asked} == {"404", "html"}


def test_a_private_address_is_refused_unless_it_is_allowed(server, tmp_path):
    write_rows(tmp_path / "pool.parquet", [f"http://127.0.0.1:{server.port}/images/good"])
    made = recipe_at(tmp_path, "pool.parquet", "work", 'use = "download"\nfolder = "media"\ntries = 1')
    run_recipe(made, local(1), progress=False)
    assert column(made, "download", "reason", "rejects") == ["private_address"]
