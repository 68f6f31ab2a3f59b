"""A core install, imitated: every package that the core does not bring is hidden."""

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rope import extras

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PACKAGE_OF = packages_distributions()


def brought_by(requirements):
    """The distributions that these requirements install, with what those require in turn."""
    found, waiting = set(), [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in found:
                continue
            found.add((name, extra))
            try:
                inner = [Requirement(text) for text in requires(name) or []]
            except PackageNotFoundError:
                continue
            waiting += [one for one in inner if one.marker is None or one.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


def is_installed(requirement):
    try:
        version(Requirement(requirement).name)
    except PackageNotFoundError:
        return False
    return True


def hidden_packages():
    core = brought_by(PROJECT["dependencies"])
    own = {"rope", "baselines", "cope", "leaderboard", "tests"}
    return {
        package
        for package, distributions in PACKAGE_OF.items()
        if package not in own and core.isdisjoint(map(canonicalize_name, distributions))
    }


@pytest.mark.slow
def test_every_command_works_or_names_its_extra_on_a_core_install():
    hidden = hidden_packages()
    assert {"torch", "transformers"} <= hidden
    assert {"numpy", "typer", "PIL"}.isdisjoint(hidden)
    variables = {"HIDDEN": " ".join(sorted(hidden)), "PYTHONPATH": os.pathsep.join([str(HERE / "hiding"), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, HERE / "walk.py"], env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_walk_knows_every_program():
    from tests.core_only.walk import MAIN

    scripts = {name: f"{module}:main" for name, module in MAIN.items() if name != "learn"}
    assert scripts == PROJECT["scripts"]


@pytest.mark.parametrize(("package", "install"), extras._INSTALL.items())
def test_what_the_sentence_names_brings_the_package(package, install):
    """The extra exists and has the distribution, or pip is given the distribution's own name."""
    requirement = Requirement(install)
    usual = {"open_clip": ["open-clip-torch"]}  # installed or not
    names = {canonicalize_name(name) for name in PACKAGE_OF.get(package, usual.get(package, [package]))}
    if requirement.name == "rope-bench":
        (extra,) = requirement.extras
        listed = PROJECT["optional-dependencies"][extra]
        found = names & brought_by(listed)
        if not found and not all(map(is_installed, listed)):
            pytest.skip(f"packages of the extra {extra} are not installed, so what they require is not known")
        assert found
    elif package in PACKAGE_OF:
        assert canonicalize_name(requirement.name) in names
