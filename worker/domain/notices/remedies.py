"""The commands that people are told, as a shell takes them when they are pasted."""

import shlex


def of_webhook(action: str, instance: str, webhook_id: str | None, *options: str) -> str:
    """`webhook-worker webhook ACTION` for one. A name that begins with a dash is no option."""
    identity = () if webhook_id is None else (f"--id={webhook_id}",)
    name = ("--", instance) if instance.startswith("-") else (instance,)
    return command("webhook", action, *identity, *options, *name)


def command(*words: str) -> str:
    return shlex.join(["webhook-worker", *words])
