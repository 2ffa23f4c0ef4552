"""One more field is its declaration, its attribute with the default, and its column: two are added to a copy."""

import os
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns

from tests.webhooks.with_new_fields import DATABASE
from worker.domain.webhook import Webhook
from worker.stores.own.store import SqlStore

ROOT = Path(__file__).parents[2]

DECLARATIONS = """    Field(
        name="group",
        kind=Choice(("none", "chat", "instance")),
        help="which events of the webhook wait for the one before",
    ),
    Field(
        name="sealed_note",
        kind=Text(50, checks.storable_text),
        help="a secret of the operator",
        secret=True,
    ),
"""

ATTRIBUTES = """    group: str = "none"
    sealed_note: str | None = field(default=None, repr=False)
"""

STEPS = """STEPS += (AddColumn("group"), AddColumn("sealed_note"))
"""

CHANGES = (
    (
        "worker/webhooks/declaration.py",
        "\nclass Kept",
        "\nfrom worker.webhooks.scalars import Choice, Text\n\nclass Kept",
    ),
    ("worker/webhooks/declaration.py", ')\n"""In the order of files', DECLARATIONS + ')\n"""In the order of files'),
    ("worker/domain/webhook.py", "    failing_since: int", ATTRIBUTES + "    failing_since: int"),
    ("worker/stores/own/steps.py", "SCHEMA_VERSION = ", STEPS + "SCHEMA_VERSION = "),
)
"""File, what stands there, and what stands there with the fields: all that it takes but their use."""


async def test_a_new_field_is_its_declaration_its_default_and_its_column(tmp_path: Path) -> None:
    copytree(ROOT / "worker", tmp_path / "worker", ignore=ignore_patterns("__pycache__"))
    for name, before, after in CHANGES:
        path = tmp_path / name
        assert path.read_text().count(before) == 1, (name, before)
        path.write_text(path.read_text().replace(before, after))
    store = SqlStore(f"sqlite:///{tmp_path / DATABASE}", lambda: 1)
    await store.migrate()
    await store.put(Webhook("old", "https://h.example/old"))
    await store.close()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(tmp_path),
        "DATABASE_CONNECTION_URI": f"sqlite:///{tmp_path / DATABASE}",
        "WEBHOOK_SECRET_KEY": "A" * 43 + "=",
        "RABBITMQ_URI": "amqp://127.0.0.1:1",  # nobody is told
    }
    program = [sys.executable, str(ROOT / "tests" / "webhooks" / "with_new_fields.py")]
    ended = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "they work"), ended.stdout + ended.stderr
