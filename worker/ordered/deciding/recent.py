"""The ids of deliveries that have ended here: a copy that comes behind is not sent again."""

MOST_REMEMBERED = 100_000
"""About 15 MB. What is forgotten is repeated, and no worse."""


class Recent:
    """Two sets that take turns: what was added last is in one of them for at least `most / 2` further ones."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._half = max(1, most // 2)
        self._new: set[str] = set()
        self._old: set[str] = set()

    def __contains__(self, delivery_id: str) -> bool:
        return delivery_id in self._new or delivery_id in self._old

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def add(self, delivery_id: str) -> None:
        if len(self._new) >= self._half:
            self._new, self._old = set(), self._new
        self._new.add(delivery_id)
