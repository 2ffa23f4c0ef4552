-- Optional, for WEBHOOK_SOURCE=evolution on PostgreSQL: tells the workers at once when a webhook of Evolution's
-- changes. Without it they notice within five seconds. It writes nothing, and Evolution does not see it.
--
-- Run it as the owner of Evolution's tables, in Evolution's schema (the `?schema=` of its URI, else public):
--   psql "$URI" -v ON_ERROR_STOP=1 -c 'SET search_path = public' -f evolution_notify.sql
-- Again after a restore; running it twice changes nothing. To remove it:
--   DROP FUNCTION webhook_worker_notify() CASCADE;

BEGIN;

CREATE OR REPLACE FUNCTION webhook_worker_notify() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    named text;
BEGIN
    IF TG_TABLE_NAME = 'Instance' THEN
        named := OLD."name";
    ELSE
        EXECUTE format('SELECT "name" FROM %I."Instance" WHERE "id" = $1', TG_TABLE_SCHEMA)
            INTO named
            USING CASE TG_OP WHEN 'DELETE' THEN OLD."instanceId" ELSE NEW."instanceId" END;
    END IF;
    -- NULL: the instance itself is being deleted, and its own trigger tells.
    IF named IS NOT NULL THEN
        PERFORM pg_notify('evolution_webhook',
            json_build_object('schema', TG_TABLE_SCHEMA, 'instance', named)::text);
    END IF;
    RETURN NULL;
END
$$;

DROP TRIGGER IF EXISTS webhook_worker_notify ON "Webhook";
CREATE TRIGGER webhook_worker_notify AFTER INSERT OR UPDATE OR DELETE ON "Webhook"
    FOR EACH ROW EXECUTE FUNCTION webhook_worker_notify();

DROP TRIGGER IF EXISTS webhook_worker_notify ON "Instance";
CREATE TRIGGER webhook_worker_notify AFTER DELETE ON "Instance"
    FOR EACH ROW EXECUTE FUNCTION webhook_worker_notify();

COMMIT;
