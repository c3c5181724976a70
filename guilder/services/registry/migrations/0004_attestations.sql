-- What the platform has tested of editions, and what it attests. Rows belong to the platform;
-- nothing is deleted. A worker holds a running run until `lease_until`; `attempts` tells it apart
-- from who takes the run over.
CREATE TABLE conformance_run (
  tenant int NOT NULL DEFAULT 0 CHECK (tenant = 0),
  id uuid NOT NULL,
  contract text NOT NULL,
  url text NOT NULL,
  wanted text,
  state text NOT NULL CHECK (state IN ('running', 'passed', 'failed', 'broken')),
  asked_by uuid NOT NULL,
  asked_at timestamptz NOT NULL,
  attempts smallint NOT NULL DEFAULT 0,
  lease_until timestamptz NOT NULL,
  progress text NOT NULL DEFAULT '',
  checks text NOT NULL DEFAULT '[]',
  manifest text,
  suite text,
  finished_at timestamptz,
  reason text,
  PRIMARY KEY (tenant, id),
  CONSTRAINT run_ended CHECK ((state = 'running') = (finished_at IS NULL)),
  CONSTRAINT run_broken CHECK ((state = 'broken') = (reason IS NOT NULL))
);
CREATE INDEX conformance_run_open ON conformance_run (id) WHERE state = 'running';
SELECT protect('conformance_run');
REVOKE DELETE, TRUNCATE ON conformance_run FROM :login;

-- `signed` is the attestation; the other columns repeat what it says, so that it is found by them.
-- Who believes a row compares both, and checks the signature.
CREATE TABLE attestation (
  tenant int NOT NULL DEFAULT 0 CHECK (tenant = 0),
  id uuid NOT NULL,
  run_id uuid NOT NULL,
  contract text NOT NULL,
  contract_version text NOT NULL,
  edition text NOT NULL CHECK (edition ~ '^[B-Z]$'),
  version text NOT NULL,
  url text NOT NULL,
  digest text NOT NULL,
  suite_hash text NOT NULL,
  finished_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL CHECK (expires_at > finished_at),
  signed text NOT NULL,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, run_id),
  FOREIGN KEY (tenant, run_id) REFERENCES conformance_run (tenant, id)
);
CREATE INDEX attestation_of ON attestation (contract, edition, version, url, expires_at);
SELECT protect('attestation');
REVOKE UPDATE, DELETE, TRUNCATE ON attestation FROM :login;
