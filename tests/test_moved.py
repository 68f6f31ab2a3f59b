"""Old names of modules work for a release, and tell the new ones."""

import importlib

import pytest

from rope.moved import MOVED


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_an_old_name_gives_the_objects_of_the_new_module_and_says_so(old, new):
    try:
        module = importlib.import_module(new)
    except ImportError as error:
        pytest.skip(f"needs {error.name}")
    with pytest.warns(DeprecationWarning, match=f"{old} is now {new}"):
        alias = importlib.reload(importlib.import_module(old))
    assert all(getattr(alias, name) is getattr(module, name) for name in getattr(module, "__all__", ()))


def test_a_name_that_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError, match=r"rope\.bench\.never"):
        importlib.import_module("rope.bench.never")
