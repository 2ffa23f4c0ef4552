"""The TOML file of settings: its values by their paths, and how a setting is spelled there."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

Leaf = tuple[tuple[str, ...], object]

_FILE_LIMIT = 1 << 20


def leaves(config: Path) -> Iterator[Leaf]:
    """Values with their paths. Raises OSError, ValueError, RecursionError."""
    yield from _flatten(_parse_file(config))


def as_key(setting: str, path: tuple[str, ...]) -> str:
    """CACHE_TTL_SECONDS as `cache.ttl_seconds`, with the sections of `path` as far as they are right."""
    rest, sections = setting.lower(), []
    for section in path[:-1]:
        if not rest.startswith(f"{section.lower()}_"):
            break
        sections.append(section)
        rest = rest[len(section) + 1 :]
    if len(path) > 1 and not sections:
        return rest.replace("_", ".", 1)
    return ".".join((*sections, rest))


def _parse_file(config: Path) -> dict[str, object]:
    with config.open("rb") as file:
        content = file.read(_FILE_LIMIT + 1)
    if len(content) > _FILE_LIMIT:
        raise ValueError("it is larger than 1 MiB")
    return tomllib.loads(content.decode("utf-8-sig"))


def _flatten(table: Mapping[str, object], above: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """Leaves with their paths. Four levels are more than any setting has; deeper ones are left whole."""
    for key, value in table.items():
        path = (*above, key)
        if isinstance(value, dict) and value and len(path) < 4:
            yield from _flatten(value, path)
        else:
            yield path, value
