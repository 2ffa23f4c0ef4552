"""Whatever worker/ imports from outside the standard library stands in pyproject.toml, with its bounds."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

REACHED_INTO = ("aiohttp", "aio-pika", "aiormq", "pamqp")
"""Libraries of which more is used than their documentation promises (the files called *_internals.py)."""


def requirements() -> dict[str, Requirement]:
    extras = (text for extra in PROJECT["optional-dependencies"].values() for text in extra)
    found = (Requirement(text) for text in (*PROJECT["dependencies"], *extras))
    return {normal(requirement.name): requirement for requirement in found}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imports() -> dict[str, set[str]]:
    """The top packages that are imported anywhere in worker/, and where."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "worker").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Import(names=names):
                    modules = [alias.name for alias in names]
                case ast.ImportFrom(module=str(module), level=0):
                    modules = [module]
                case _:
                    continue
            for module in modules:
                found.setdefault(module.partition(".")[0], set()).add(str(path.relative_to(ROOT)))
    return {name: files for name, files in found.items() if name not in {*sys.stdlib_module_names, "worker"}}


def test_every_imported_package_is_declared() -> None:
    declared, distributions = set(requirements()), packages_distributions()
    undeclared = {
        name: sorted(files)
        for name, files in imports().items()
        if not declared & {normal(distribution) for distribution in distributions.get(name, ())}
    }
    assert {"aiohttp", "pamqp", "yarl", "sqlalchemy", "opentelemetry"} <= set(imports()), "the reading of imports works"
    assert undeclared == {}


@pytest.mark.parametrize("name", REACHED_INTO)
def test_a_library_that_is_reached_into_is_capped_to_a_minor_version(name: str) -> None:
    (cap,) = [bound.version for bound in requirements()[name].specifier if bound.operator == "<"]
    (floor,) = [bound.version for bound in requirements()[name].specifier if bound.operator == ">="]
    major, minor = map(int, floor.split(".")[:2])
    assert cap == f"{major}.{minor + 1}"
