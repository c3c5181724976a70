-- What every service's database holds besides its own tables.

-- Row security for a table with a `tenant` column: a transaction sees the tenants it named.
CREATE FUNCTION protect(target regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
  EXECUTE format('CREATE POLICY tenant ON %s USING (tenant = ANY(string_to_array('
    'current_setting(''guilder.tenants'', true), '','')::int[]))', target);
END $$;

-- Idempotency: one row per key, written before or with the effect.
CREATE TABLE command (
  tenant int NOT NULL,
  principal uuid NOT NULL,
  key text NOT NULL,
  operation text NOT NULL,
  hash bytea NOT NULL,
  resource uuid NOT NULL,
  lease_until timestamptz NOT NULL,
  created_at timestamptz NOT NULL,
  status smallint,
  subject uuid,
  answer bytea,
  PRIMARY KEY (tenant, principal, key)
);
CREATE INDEX command_age ON command (created_at);
SELECT protect('command');

-- The log: what happened, in ids. Never updated, never deleted.
CREATE TABLE event (
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  n bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL,
  tenant int NOT NULL,
  type text NOT NULL,
  principal uuid NOT NULL,
  request text NOT NULL,
  ids text NOT NULL,
  PRIMARY KEY (xid, n)
);
SELECT protect('event');
REVOKE UPDATE, DELETE, TRUNCATE ON event FROM :login;

-- The feed in commit order over all tenants. Rows at or above the snapshot's xmin wait, so a slow
-- transaction is never skipped. Runs as the owner: only this function crosses tenants.
CREATE FUNCTION feed_page(after_xid xid8, after_n bigint, page int)
RETURNS SETOF event LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
  SELECT * FROM event
  WHERE (xid, n) > (after_xid, after_n) AND xid < pg_snapshot_xmin(pg_current_snapshot())
  ORDER BY xid, n LIMIT page
$$;

-- Tenants that have a row in any table here; what sweeps and self checks go through. Hops from
-- tenant to tenant by index, so it stays fast on long tables. Runs as the owner.
CREATE FUNCTION seen_tenants() RETURNS SETOF int
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public AS $$
DECLARE target regclass;
BEGIN
  FOR target IN
    SELECT c.oid::regclass FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE a.attname = 'tenant' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND c.relnamespace = 'public'::regnamespace
  LOOP
    RETURN QUERY EXECUTE format(
      'WITH RECURSIVE s(t) AS (SELECT min(tenant) FROM %1$s UNION ALL '
      'SELECT (SELECT min(tenant) FROM %1$s WHERE tenant > s.t) FROM s WHERE s.t IS NOT NULL) '
      'SELECT t FROM s WHERE t IS NOT NULL', target);
  END LOOP;
END $$;

-- How far each feed was followed; moved in the transaction of the effect.
CREATE TABLE feed_position (
  feed text PRIMARY KEY,
  position text NOT NULL
);
