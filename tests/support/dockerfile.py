"""What deploy/Dockerfile says."""

import shlex
from pathlib import Path

_DOCKERFILE = Path(__file__).parents[2] / "deploy" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """As (INSTRUCTION, rest), continued lines joined, comments left out."""
    lines = [line for line in _DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def final_stage() -> list[tuple[str, str]]:
    """The instructions of the image itself, its FROM first."""
    found = instructions()
    return found[max(number for number, (word, _) in enumerate(found) if word == "FROM") :]


def memory_settings() -> dict[str, str]:
    """How the image has glibc get memory: for whoever measures the worker as the image runs it. Raises KeyError."""
    words = shlex.split(" ".join(rest for word, rest in final_stage() if word == "ENV"))
    return {"GLIBC_TUNABLES": dict(word.split("=", 1) for word in words)["GLIBC_TUNABLES"]}
