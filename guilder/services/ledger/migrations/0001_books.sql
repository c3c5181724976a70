-- A place in the chart of accounts with its running totals, all in minor units.
-- `opened_floor` is the limit it was opened with (a repeat of the opening is held against it).
-- `excused` is the available balance at the moment a limit was set above it: what is below the
-- limit since then broke no rule.
CREATE TABLE account (
  tenant int NOT NULL,
  id uuid NOT NULL,
  chart text NOT NULL,
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  partner text NOT NULL,
  state text NOT NULL CHECK (state IN ('open', 'closed')),
  opened_at timestamptz NOT NULL,
  opened_floor bigint,
  floor bigint,
  excused bigint,
  debits bigint NOT NULL CHECK (debits BETWEEN 0 AND 4611686018427387904),
  credits bigint NOT NULL CHECK (credits BETWEEN 0 AND 4611686018427387904),
  pending_debits bigint NOT NULL CHECK (pending_debits BETWEEN 0 AND 4611686018427387904),
  pending_credits bigint NOT NULL CHECK (pending_credits BETWEEN 0 AND 4611686018427387904),
  PRIMARY KEY (tenant, id)
) WITH (fillfactor = 50);
SELECT protect('account');

-- The journal. `seq` runs without a gap over all tenants. `d_after` is the debit account's total of
-- posted debits after this row, `c_after` the credit account's total of posted credits.
CREATE TABLE transfer (
  tenant int NOT NULL,
  seq bigint NOT NULL,
  id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('transfer', 'pending', 'post', 'void', 'expire')),
  debit uuid NOT NULL,
  credit uuid NOT NULL CHECK (credit <> debit),
  amount bigint NOT NULL CHECK (amount > 0),
  currency text NOT NULL,
  value_date date NOT NULL,
  code text NOT NULL,
  pending_id uuid,
  expires_at timestamptz,
  payment uuid,
  reverses uuid,
  row text,
  booked_at timestamptz NOT NULL,
  d_after bigint NOT NULL,
  c_after bigint NOT NULL,
  PRIMARY KEY (tenant, seq),
  UNIQUE (tenant, id),
  UNIQUE (seq)
);
CREATE INDEX transfer_debit ON transfer (tenant, debit, seq) WHERE kind IN ('transfer', 'post');
CREATE INDEX transfer_credit ON transfer (tenant, credit, seq) WHERE kind IN ('transfer', 'post');
CREATE INDEX transfer_booked ON transfer (tenant, booked_at, seq);
SELECT protect('transfer');

-- What became of each pending transfer.
CREATE TABLE pending (
  tenant int NOT NULL,
  id uuid NOT NULL,
  debit uuid NOT NULL,
  credit uuid NOT NULL,
  amount bigint NOT NULL CHECK (amount > 0),
  currency text NOT NULL,
  expires_at timestamptz,
  state text NOT NULL CHECK (state IN ('open', 'posted', 'voided', 'expired')),
  PRIMARY KEY (tenant, id)
);
CREATE INDEX pending_due ON pending (expires_at, tenant) WHERE state = 'open';
SELECT protect('pending');

-- Posted debits and credits of an account by value date: a balance by value date reads days, not
-- transfers.
CREATE TABLE day_total (
  tenant int NOT NULL,
  account uuid NOT NULL,
  value_date date NOT NULL,
  debits bigint NOT NULL,
  credits bigint NOT NULL,
  PRIMARY KEY (tenant, account, value_date)
) WITH (fillfactor = 70);
SELECT protect('day_total');

-- The chain: one row per committed batch. A batch may hold several tenants, so it has no tenant; it
-- tells no more than how many rows there are. Both uniques keep two writers from extending one
-- link.
CREATE TABLE batch (
  first_seq bigint PRIMARY KEY,
  n int NOT NULL CHECK (n > 0),
  at timestamptz NOT NULL,
  prev bytea NOT NULL UNIQUE,
  hash bytea NOT NULL
);

-- What is booked stays: the service itself cannot change or delete it.
REVOKE UPDATE, DELETE ON transfer, batch FROM :login;

-- The writer tells the planner when tables have grown: until then it takes them for empty and reads
-- a tenant from end to end where one row was asked for.
GRANT MAINTAIN ON account, transfer, pending, day_total TO :login;

-- Tenants with open pending transfers whose time has passed; runs as the owner, tells numbers only.
CREATE FUNCTION due_tenants(moment timestamptz) RETURNS SETOF int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
  SELECT DISTINCT tenant FROM pending WHERE state = 'open' AND expires_at <= moment LIMIT 1000
$$;
