"""Evolution's own tables, as its migrations make them, on real servers; and what Evolution writes there."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.support.mariadb import MariaDB
from tests.support.postgres import Postgres

POSTGRESQL = """
CREATE TYPE {schema}."InstanceConnectionStatus" AS ENUM ('open', 'close', 'connecting');
CREATE TABLE {schema}."Instance" (
    "id" TEXT NOT NULL, "name" VARCHAR(255) NOT NULL,
    "connectionStatus" {schema}."InstanceConnectionStatus" NOT NULL DEFAULT 'open',
    "ownerJid" VARCHAR(100), "profilePicUrl" VARCHAR(500), "integration" VARCHAR(100), "number" VARCHAR(100),
    "token" VARCHAR(255), "clientName" VARCHAR(100), "createdAt" TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP, CONSTRAINT "Instance_pkey" PRIMARY KEY ("id")
);
CREATE TABLE {schema}."Webhook" (
    "id" TEXT NOT NULL, "url" VARCHAR(500) NOT NULL, "enabled" BOOLEAN DEFAULT true, "events" JSONB,
    "webhookByEvents" BOOLEAN DEFAULT false, "webhookBase64" BOOLEAN DEFAULT false,
    "createdAt" TIMESTAMP DEFAULT CURRENT_TIMESTAMP, "updatedAt" TIMESTAMP NOT NULL, "instanceId" TEXT NOT NULL,
    CONSTRAINT "Webhook_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "Instance_name_key" ON {schema}."Instance"("name");
CREATE UNIQUE INDEX "Webhook_instanceId_key" ON {schema}."Webhook"("instanceId");
ALTER TABLE {schema}."Webhook" ADD CONSTRAINT "Webhook_instanceId_fkey" FOREIGN KEY ("instanceId")
    REFERENCES {schema}."Instance"("id") ON DELETE CASCADE ON UPDATE CASCADE;
"""
MYSQL = (
    """CREATE TABLE `Instance` (
    `id` VARCHAR(191) NOT NULL, `name` VARCHAR(255) NOT NULL,
    `connectionStatus` ENUM('open', 'close', 'connecting') NOT NULL DEFAULT 'open',
    `ownerJid` VARCHAR(100) NULL, `token` VARCHAR(255) NULL, `clientName` VARCHAR(100) NULL,
    `createdAt` TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP, `updatedAt` TIMESTAMP NULL,
    UNIQUE INDEX `Instance_name_key`(`name`), PRIMARY KEY (`id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci""",
    """CREATE TABLE `Webhook` (
    `id` VARCHAR(191) NOT NULL, `url` VARCHAR(500) NOT NULL, `enabled` BOOLEAN NULL DEFAULT true, `events` JSON NULL,
    `webhookByEvents` BOOLEAN NULL DEFAULT false, `webhookBase64` BOOLEAN NULL DEFAULT false,
    `createdAt` TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP, `updatedAt` TIMESTAMP NOT NULL,
    `instanceId` VARCHAR(191) NOT NULL, UNIQUE INDEX `Webhook_instanceId_key`(`instanceId`), PRIMARY KEY (`id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci""",
    """ALTER TABLE `Webhook` ADD CONSTRAINT `Webhook_instanceId_fkey` FOREIGN KEY (`instanceId`)
    REFERENCES `Instance`(`id`) ON DELETE CASCADE ON UPDATE CASCADE""",
)


@dataclass
class Evolution:
    """One database of Evolution's. `uri` is the owner's, `reader_uri` that of a user who may only read."""

    server: Postgres | MariaDB
    database: str
    schema: str
    reader: str
    uri: str = ""
    reader_uri: str = ""

    @property
    def mysql(self) -> bool:
        return isinstance(self.server, MariaDB)

    def create(self, *, headers: bool = True) -> Evolution:
        """Without `headers`: as 2.0 and 2.1.0 had it."""
        self.uri = self.server.create_database(self.database)
        if isinstance(self.server, Postgres):
            self.execute(f'CREATE SCHEMA IF NOT EXISTS "{self.schema}"')
            self.execute(POSTGRESQL.replace("{schema}", f'"{self.schema}"'))
            self.execute(f'CREATE ROLE {self.reader} LOGIN; GRANT USAGE ON SCHEMA "{self.schema}" TO {self.reader}')
            self.execute(f'GRANT SELECT ON ALL TABLES IN SCHEMA "{self.schema}" TO {self.reader}')
            self.uri += f"?schema={self.schema}&connection_limit=5"
        else:
            self.execute(*MYSQL)
            host = f"'{self.reader}'@'127.0.0.1'"
            self.execute(f"CREATE USER {host} IDENTIFIED BY 'secret'", f"GRANT SELECT ON `{self.database}`.* TO {host}")
        self.reader_uri = self.uri.replace("worker:secret", f"{self.reader}:secret")
        if headers:
            self.add_headers()
        return self

    def add_headers(self) -> None:
        self.execute(f"ALTER TABLE {self.table('Webhook')} ADD COLUMN {self.name('headers')} JSON{self._b}")

    def execute(self, *statements: str) -> None:
        for statement in statements:
            self.server.execute(self.database, statement)

    def name(self, column: str) -> str:
        return f"`{column}`" if self.mysql else f'"{column}"'

    def table(self, table: str) -> str:
        return f"`{table}`" if self.mysql else f'"{self.schema}"."{table}"'

    def instance(self, name: str, token: str | None = None) -> None:
        """POST /instance/create."""
        values = ", ".join(map(text, (f"id-{name}", name, token)))
        columns = ", ".join(map(self.name, ("id", "name", "token")))
        self.execute(f"INSERT INTO {self.table('Instance')} ({columns}) VALUES ({values})")

    def webhook(self, instance: str, url: str = "worker+https://h.example/x", at: str = "", **more: object) -> None:
        """POST /webhook/set: makes the row or replaces it. `at`: an SQL time instead of now; more: columns."""
        fields: dict[str, object] = {
            "id": f"webhook-{instance}", "url": url, "enabled": True, "events": [], "webhookByEvents": False,
            "webhookBase64": False, "instanceId": f"id-{instance}", **more,
        }  # fmt: skip
        columns = ", ".join(self.name(column) for column in (*fields, "updatedAt"))
        now = at or ("UTC_TIMESTAMP()" if self.mysql else "clock_timestamp() AT TIME ZONE 'UTC'")
        values = ", ".join([*map(text, fields.values()), now])
        changes = ", ".join(f"{self.name(c)} = {self._new(c)}" for c in (*fields, "updatedAt"))
        again = "ON DUPLICATE KEY UPDATE" if self.mysql else 'ON CONFLICT ("id") DO UPDATE SET'
        self.execute(f"INSERT INTO {self.table('Webhook')} ({columns}) VALUES ({values}) {again} {changes}")

    def delete_instance(self, name: str) -> None:
        """DELETE /instance/delete: its webhook goes with it."""
        self.execute(f"DELETE FROM {self.table('Instance')} WHERE {self.name('name')} = {text(name)}")

    def delete_webhook(self, instance: str) -> None:
        self.execute(f"DELETE FROM {self.table('Webhook')} WHERE {self.name('instanceId')} = {text('id-' + instance)}")

    @property
    def _b(self) -> str:
        return "" if self.mysql else "B"

    def _new(self, column: str) -> str:
        return f"VALUES({self.name(column)})" if self.mysql else f"EXCLUDED.{self.name(column)}"


def text(value: object) -> str:
    """An SQL literal."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case list() | dict():
            return text(json.dumps(value, ensure_ascii=False))
    return "'" + str(value).replace("'", "''") + "'"
