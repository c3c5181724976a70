-- What goes outside: to whom, what, and how far each message got.

-- A person's own e-mail address, sealed with his key (`person`). `pending` holds a new one and the
-- code that was sent to it; nothing else goes there before it is confirmed.
CREATE TABLE address (
  tenant int NOT NULL,
  principal uuid NOT NULL,
  person uuid NOT NULL,
  sealed bytea,
  pending bytea,
  pending_until timestamptz,
  tries smallint NOT NULL,
  asked_at timestamptz NOT NULL,
  confirmed_at timestamptz,
  unsubscribed text[] NOT NULL,
  PRIMARY KEY (tenant, principal)
);
CREATE INDEX address_person ON address (tenant, person);
SELECT protect('address');

-- A tenant's own systems. The secrets are sealed with a key of the endpoint's own.
CREATE TABLE webhook (
  tenant int NOT NULL,
  id uuid NOT NULL,
  url text NOT NULL,
  topics text[] NOT NULL,
  secret bytea NOT NULL,
  old_secret bytea,
  old_until timestamptz,
  created_at timestamptz NOT NULL,
  failing_since timestamptz,
  disabled_at timestamptz,
  removed_at timestamptz,
  PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX webhook_url ON webhook (tenant, url) WHERE removed_at IS NULL;
SELECT protect('webhook');

-- A message on its way to one recipient (a webhook or a principal). `attempts` counts those begun;
-- the id is the same in all of them, so whoever got it before knows it. `refused`: whoever delivers
-- said that he never will under this id.
CREATE TABLE delivery (
  tenant int NOT NULL,
  id uuid NOT NULL,
  channel text NOT NULL CHECK (channel IN ('email', 'webhook')),
  recipient uuid NOT NULL,
  person uuid,
  sealed bytea,
  url text,
  topic text NOT NULL,
  order_key text NOT NULL,
  about uuid,
  subject text NOT NULL,
  text text NOT NULL,
  state text NOT NULL CHECK (state IN ('queued', 'sent', 'failed', 'gone')),
  attempts int NOT NULL,
  refused boolean NOT NULL,
  most int NOT NULL,
  next_at timestamptz NOT NULL,
  lease_until timestamptz,
  why text,
  carried_by text,
  reference text,
  replays uuid,
  created_at timestamptz NOT NULL,
  ended_at timestamptz,
  PRIMARY KEY (tenant, id)
);
CREATE INDEX delivery_due ON delivery (next_at, id) WHERE state = 'queued';
CREATE INDEX delivery_order ON delivery (tenant, recipient, order_key, id) WHERE state = 'queued';
CREATE INDEX delivery_person ON delivery (tenant, person) WHERE sealed IS NOT NULL;
CREATE INDEX delivery_ended ON delivery (tenant, ended_at) WHERE state <> 'queued';
SELECT protect('delivery');

-- The small log of a delivery.
CREATE TABLE delivery_line (
  tenant int NOT NULL,
  delivery uuid NOT NULL,
  n bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL,
  what text NOT NULL,
  why text,
  carried_by text,
  PRIMARY KEY (tenant, delivery, n)
);
SELECT protect('delivery_line');

-- What stock has handed over, or never will: a repeat gets the same answer, another message under
-- the id none.
CREATE TABLE receipt (
  tenant int NOT NULL,
  id uuid NOT NULL,
  hash bytea NOT NULL,
  at timestamptz NOT NULL,
  reference text,
  refused text,
  PRIMARY KEY (tenant, id)
);
CREATE INDEX receipt_age ON receipt (tenant, at);
SELECT protect('receipt');

-- Lease what is due, over all tenants: of each recipient and order the first one alone, of each
-- recipient at most `each_at_once`, and of those in `busy` none, so that nobody who is slow or gone
-- keeps the others waiting. Runs as the owner: who sends does not know the tenants.
CREATE FUNCTION take_deliveries(
  now_at timestamptz, until timestamptz, at_once int, each_at_once int, busy uuid[]
) RETURNS TABLE (tenant int, id uuid, recipient uuid)
LANGUAGE sql SECURITY DEFINER SET search_path = public AS $$
  WITH due AS (
    SELECT d.tenant, d.id, d.recipient, d.next_at FROM delivery d
    WHERE d.state = 'queued' AND d.next_at <= now_at AND d.recipient <> ALL (busy)
      AND (d.lease_until IS NULL OR d.lease_until <= now_at)
      AND NOT EXISTS (
        SELECT FROM delivery e WHERE e.tenant = d.tenant AND e.recipient = d.recipient
          AND e.order_key = d.order_key AND e.state = 'queued' AND e.id < d.id)
    ORDER BY d.next_at, d.id LIMIT 1000
  ), fair AS (
    SELECT due.*, row_number() OVER (
      PARTITION BY due.tenant, due.recipient ORDER BY due.next_at, due.id) AS place FROM due
  ), mine AS (
    SELECT d.tenant, d.id FROM delivery d JOIN fair f ON f.tenant = d.tenant AND f.id = d.id
    WHERE f.place <= each_at_once AND d.state = 'queued'
      AND (d.lease_until IS NULL OR d.lease_until <= now_at)
    ORDER BY f.place, f.next_at, f.id LIMIT at_once FOR UPDATE OF d SKIP LOCKED
  )
  UPDATE delivery d SET lease_until = until, attempts = d.attempts + 1
  FROM mine WHERE d.tenant = mine.tenant AND d.id = mine.id
  RETURNING d.tenant, d.id, d.recipient
$$;

-- Tenants in which anybody is written to outside. Runs as the owner.
CREATE FUNCTION tenants_written_to() RETURNS SETOF int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
  SELECT tenant FROM address WHERE sealed IS NOT NULL
  UNION SELECT tenant FROM webhook WHERE disabled_at IS NULL AND removed_at IS NULL
  ORDER BY 1
$$;

-- How many deliveries wait, and since when the oldest does. Runs as the owner; names nobody.
CREATE FUNCTION deliveries_waiting(OUT queued bigint, OUT oldest timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
  SELECT count(*), min(created_at) FROM delivery WHERE state = 'queued'
$$;
