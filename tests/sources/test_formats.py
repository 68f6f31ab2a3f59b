import pytest

from rope.errors import ReleaseError, UsageError
from rope.sources.formats import FORMATS, find_source
from tests.releases import tiny_release, write_release
from tests.sources.other_releases import WRITERS, write_folder


@pytest.mark.parametrize("name", WRITERS)
def test_a_format_is_told_by_its_files(name, tmp_path):
    assert find_source(WRITERS[name](tmp_path)).kind == name


def test_rope_is_told_by_its_files(tmp_path):
    source = find_source(write_release(tmp_path, tiny_release()))
    assert (source.kind, source.domains, source.image_root) == (
        "rope_release",
        ("page", "video", "live"),
        tmp_path / "images",
    )


def test_a_folder_of_nothing_known_is_told_what_rope_has(tmp_path):
    with pytest.raises(ReleaseError, match="a ROPE release has nine"):
        find_source(tmp_path)


def test_files_of_two_formats_need_a_name(tmp_path):
    write_folder(write_release(tmp_path, tiny_release()))
    with pytest.raises(UsageError, match="files of the formats rope and folder; say which one is meant with --format"):
        find_source(tmp_path)
    assert find_source(tmp_path, "folder").kind == "folder"


@pytest.mark.parametrize("name", FORMATS)
def test_a_folder_that_is_not_there_is_refused(name, tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        find_source(tmp_path / "nowhere", name)


@pytest.mark.parametrize("name", FORMATS)
def test_a_folder_of_something_else_is_refused(name, tmp_path):
    with pytest.raises(ReleaseError, match=str(tmp_path)):
        find_source(tmp_path, name)
