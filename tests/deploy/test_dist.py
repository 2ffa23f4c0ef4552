"""What `make dist` builds: an sdist and a wheel that are whole, and run where nothing else of the project is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import PathDistribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.worker import ROOT
from worker import __version__

SECONDS = 100


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Nothing of the tests' own environment reaches it."""
    given = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment}
    return subprocess.run(
        command,
        cwd=cwd,
        env=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
    )


def done(*command: str | Path, cwd: Path) -> str:
    """What it printed; AssertionError with all of it when it failed."""
    ended = run(*command, cwd=cwd)
    assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
    return ended.stdout


def build(source: Path, target: Path, *kinds: str) -> None:
    done(sys.executable, "-m", "hatchling", "build", "--directory", target, *kinds, cwd=source)


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both."""
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def unpacked(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist's one folder."""
    (archive,) = dist.glob("*.tar.gz")
    folder = tmp_path_factory.mktemp("unpacked")
    done("tar", "-xzf", archive, cwd=folder)
    (top,) = folder.iterdir()
    return top


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment's `bin`: the wheel, and of everything else what requirements/run.txt pins.

    Those packages are taken from the tests' own environment file by file, so that neither a network is needed nor
    anything seen that is not pinned: no development tool, and not the project's folder, which is installed there too.
    """
    folder = tmp_path_factory.mktemp("environment")
    done(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    for package in pinned():
        take(package, packages)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", folder / "bin" / "python")
    done(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=folder)
    assert "No broken requirements" in done(*pip, "check", cwd=folder), "run.txt lacks what the wheel asks for"
    return folder / "bin"


def pinned() -> list[PathDistribution]:
    """Of requirements/run.txt, for this platform, each in exactly its version."""
    here = {normal(found.name): found for found in distributions()}
    found = []
    for line in re.findall(r"^\w\S*==.*?(?= \\|$)", (ROOT / "requirements" / "run.txt").read_text(), re.MULTILINE):
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate():
            package = here[normal(wanted.name)]
            assert package.version in wanted.specifier, f"{package.name} {package.version} is installed, not {line}"
            assert isinstance(package, PathDistribution)
            found.append(package)
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def take(package: PathDistribution, target: Path) -> None:
    for file in package.files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:  # scripts belong to the other environment
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), target / file)


def test_the_version_is_written_in_one_place_and_both_bear_it(dist: Path, wheel: Path, unpacked: Path) -> None:
    code = [ROOT / "pyproject.toml", ROOT / "Makefile", *(ROOT / "worker").rglob("*.py")]
    assert [path for path in code if f'"{__version__}"' in path.read_text()] == [ROOT / "worker" / "__init__.py"]
    named = f"evolution_webhook_worker-{__version__}"
    assert {path.name for path in dist.iterdir()} == {f"{named}.tar.gz", f"{named}-py3-none-any.whl"}
    line = f"\nVersion: {__version__}\n"
    assert line in (unpacked / "PKG-INFO").read_text()
    assert line.encode() in contents(wheel)[f"{named}.dist-info/METADATA"]


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    held = {name for name in contents(wheel) if ".dist-info/" not in name}
    assert held == {str(path.relative_to(ROOT)) for path in (ROOT / "worker").rglob("*") if source(path)}


def source(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def test_the_sdist_builds_the_same_wheel(wheel: Path, unpacked: Path, tmp_path: Path) -> None:
    build(unpacked, tmp_path, "--target", "wheel")
    assert contents(tmp_path / wheel.name) == contents(wheel)


def test_the_sdist_holds_what_its_own_commands_need_and_no_leftovers(unpacked: Path) -> None:
    for name in ("Makefile", "README.md", "LICENSE", "requirements/test.txt", "tests/conftest.py", ".ci/run"):
        assert (unpacked / name).is_file(), name
    left = {".venv", "dist", "build", ".git", ".mypy_cache", ".pytest_cache", ".ruff_cache", "__pycache__"}
    assert not [path for path in unpacked.rglob("*") if path.name in left]


def test_the_wheel_runs_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    program = installed / "webhook-worker"
    where = done(installed / "python", "-c", "import worker; print(worker.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    assert done(program, "--version", cwd=tmp_path) == f"{__version__}\n"
    usage = done(program, "--help", cwd=tmp_path)
    for command in ("run", "api", "check", "doctor", "migrate", "webhook", "dead"):
        assert re.search(rf"^ +{command} ", usage, re.MULTILINE), command
    missing = run(program, "webhook", "list", cwd=tmp_path)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "run `webhook-worker migrate`" in missing.stderr
    assert "the schema has version" in done(program, "migrate", cwd=tmp_path)
    assert done(program, "webhook", "list", cwd=tmp_path).split() == [
        "INSTANCE",
        "ID",
        "ENABLED",
        "URL",
        "BY_EVENTS",
        "EVENTS",
    ]
    files = {f"{name}.db{of_it}" for name in ("webhooks", "history") for of_it in ("", "-wal", "-shm")}
    assert {path.name for path in tmp_path.iterdir()} <= files


def test_every_module_of_the_wheel_needs_only_what_is_pinned(installed: Path, tmp_path: Path) -> None:
    every = "import pkgutil, importlib, worker; print(*(importlib.import_module(m.name).__name__ for m in "
    every += "pkgutil.walk_packages(worker.__path__, 'worker.') if not m.name.endswith('__main__')), sep='\\n')"
    imported = done(installed / "python", "-W", "error", "-c", every, cwd=tmp_path).split()
    assert {"worker.process.run", "worker.stores.evolution.notify", "worker.doctor.examination"} <= set(imported)
