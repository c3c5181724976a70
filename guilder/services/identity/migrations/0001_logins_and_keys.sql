-- People who may sign in. A login is a handle that the bank chooses, not a name.
CREATE TABLE person (
  tenant int NOT NULL,
  id uuid NOT NULL,
  login text NOT NULL,
  party uuid,
  created_at timestamptz NOT NULL,
  disabled_at timestamptz,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, login)
);
SELECT protect('person');

-- Machine clients. Only the platform's first operator has no digest: its secret is a file.
CREATE TABLE client (
  tenant int NOT NULL,
  id uuid NOT NULL UNIQUE,
  name text NOT NULL,
  party uuid,
  secret_digest bytea,
  created_at timestamptz NOT NULL,
  revoked_at timestamptz,
  PRIMARY KEY (tenant, id),
  CHECK (secret_digest IS NOT NULL OR id = '00000000-0000-0000-0000-000000000001')
);
SELECT protect('client');
INSERT INTO client (tenant, id, name, created_at)
VALUES (0, '00000000-0000-0000-0000-000000000001', 'operator', now());

-- A client's request for a token names no tenant. Runs as the owner: only this crosses tenants.
CREATE FUNCTION client_by_id(wanted uuid)
RETURNS SETOF client LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
  SELECT * FROM client WHERE id = wanted
$$;

-- Keys that sign tokens, the platform's own (tenant 0). The private part is sealed with a key file,
-- so every process of identity signs with the same key and a copy of the database signs nothing.
-- `verifies_until` is null for the one key that signs now.
CREATE TABLE signing_key (
  tenant int NOT NULL DEFAULT 0 CHECK (tenant = 0),
  id uuid NOT NULL,
  x text NOT NULL,
  y text NOT NULL,
  sealed bytea NOT NULL,
  made_at timestamptz NOT NULL,
  verifies_until timestamptz,
  PRIMARY KEY (tenant, id)
);
SELECT protect('signing_key');
CREATE UNIQUE INDEX signing_key_present ON signing_key (tenant) WHERE verifies_until IS NULL;
