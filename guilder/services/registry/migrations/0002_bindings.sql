-- Which release serves a contract for a tenant, from when to when. Rows belong to the platform, as
-- those of the directory do. Nothing is deleted: what has ended is history.
CREATE EXTENSION IF NOT EXISTS btree_gist;  -- trusted: the owner of the database may

CREATE TABLE binding (
  tenant int NOT NULL DEFAULT 0 CHECK (tenant = 0),
  id uuid NOT NULL,
  number int NOT NULL,
  contract text NOT NULL,
  contract_version text NOT NULL,
  edition text NOT NULL CHECK (edition ~ '^[A-Z]$'),
  version text NOT NULL,
  address text NOT NULL,
  on_failure text NOT NULL CHECK (on_failure IN ('closed', 'fallback')),
  during tstzrange NOT NULL CHECK (NOT isempty(during) AND NOT lower_inf(during)),
  generation bigint NOT NULL,
  ended_generation bigint CHECK (ended_generation > generation),
  proposed_by uuid NOT NULL,
  approved_by uuid NOT NULL,
  ended_by uuid,
  PRIMARY KEY (tenant, id),
  UNIQUE (generation),
  FOREIGN KEY (tenant, number) REFERENCES directory (tenant, number),
  CONSTRAINT four_eyes CHECK (approved_by <> proposed_by),
  CONSTRAINT ended CHECK (
    upper_inf(during) = (ended_by IS NULL) AND upper_inf(during) = (ended_generation IS NULL)),
  CONSTRAINT one_at_a_time EXCLUDE USING gist (number WITH =, contract WITH =, during WITH &&)
);
CREATE INDEX binding_live ON binding (number, contract) WHERE upper_inf(during);
SELECT protect('binding');
REVOKE DELETE, TRUNCATE ON binding FROM :login;

-- Counts every change of what all processes must know at once. Whoever changes it holds this row
-- until his commit, so that the numbers rise in the order in which changes are seen.
CREATE TABLE generation (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  value bigint NOT NULL CHECK (value >= 0)
);
INSERT INTO generation (value) VALUES (0);
REVOKE INSERT, DELETE, TRUNCATE ON generation FROM :login;
