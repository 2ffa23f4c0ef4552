"""Webhooks whose receiver answered 410 Gone, kept disabled in memory until the store itself says so."""

from dataclasses import replace

from worker.domain.webhook import Webhook


def disabled(webhook: Webhook, reason: str) -> Webhook:
    return replace(webhook, enabled=False, disabled_reason=reason)


class GoneReceivers:
    """Remembers each such webhook as the attempt used it: any change of it in the store ends the memory."""

    def __init__(self) -> None:
        self._by_instance: dict[str, dict[str, tuple[Webhook, str]]] = {}

    def add(self, webhook: Webhook, reason: str) -> None:
        self._by_instance.setdefault(webhook.instance, {})[webhook.id] = (webhook, reason)

    def forget(self, instance: str, webhook_id: str | None = None) -> None:
        """Ends the memory of one of the instance's webhooks, or of all: their row was written or changed."""
        if webhook_id is None:
            self._by_instance.pop(instance, None)
            return
        remembered = self._by_instance.get(instance, {})
        remembered.pop(webhook_id, None)
        if not remembered:
            self._by_instance.pop(instance, None)

    def applied(self, instance: str, loaded: tuple[Webhook, ...]) -> tuple[Webhook, ...]:
        """The webhooks that the store answered, with the remembered ones disabled; forgets those that changed."""
        remembered = self._by_instance.pop(instance, None)
        if remembered is None:
            return loaded
        kept = {found.id: remembered[found.id] for found in loaded if remembered.get(found.id, (None,))[0] == found}
        if kept:
            self._by_instance[instance] = kept
        return tuple(disabled(found, kept[found.id][1]) if found.id in kept else found for found in loaded)
