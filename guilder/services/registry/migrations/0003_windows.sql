-- Maintenance windows. Rows belong to the platform; `number` is the tenant concerned (empty = all).
-- A window's state follows from its times; nothing is deleted.
CREATE TABLE maintenance_window (
  tenant int NOT NULL DEFAULT 0 CHECK (tenant = 0),
  id uuid NOT NULL,
  number int,
  service text,
  writes text NOT NULL CHECK (writes IN ('refuse', 'queue')),
  title text NOT NULL,
  reason text NOT NULL,
  urgent text,
  scheduled_at timestamptz NOT NULL,
  begins_at timestamptz NOT NULL,
  ends_at timestamptz NOT NULL,
  completes_after_minutes int CHECK (completes_after_minutes >= 0),
  extensions smallint NOT NULL DEFAULT 0,
  completed_at timestamptz,
  cancelled_at timestamptz,
  proposed_by uuid NOT NULL,
  approved_by uuid NOT NULL,
  PRIMARY KEY (tenant, id),
  FOREIGN KEY (tenant, number) REFERENCES directory (tenant, number),
  CONSTRAINT in_order CHECK (scheduled_at <= begins_at AND begins_at < ends_at),
  CONSTRAINT one_end CHECK (completed_at IS NULL OR cancelled_at IS NULL),
  CONSTRAINT window_four_eyes CHECK (approved_by <> proposed_by),
  CONSTRAINT one_window_at_a_time EXCLUDE USING gist (
    coalesce(number, 0) WITH =, coalesce(service, '') WITH =, tstzrange(begins_at, ends_at) WITH &&)
    WHERE (completed_at IS NULL AND cancelled_at IS NULL)
);
CREATE INDEX maintenance_window_open ON maintenance_window (begins_at)
  WHERE completed_at IS NULL AND cancelled_at IS NULL;
SELECT protect('maintenance_window');
REVOKE DELETE, TRUNCATE ON maintenance_window FROM :login;

-- What everyone concerned is told: each kind once a window, each extension by its number `n`.
-- Written in the transaction of its event; times and reason as they were then.
CREATE TABLE maintenance_notice (
  tenant int NOT NULL DEFAULT 0 CHECK (tenant = 0),
  id uuid NOT NULL,
  window_id uuid NOT NULL,
  kind text NOT NULL,
  n smallint NOT NULL,
  at timestamptz NOT NULL,
  reason text NOT NULL,
  ends_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, window_id, kind, n),
  FOREIGN KEY (tenant, window_id) REFERENCES maintenance_window (tenant, id)
);
SELECT protect('maintenance_notice');
REVOKE UPDATE, DELETE, TRUNCATE ON maintenance_notice FROM :login;

-- Read-only mode: on where `until` is empty, of the platform where `number` is.
CREATE TABLE read_only (
  tenant int NOT NULL DEFAULT 0 CHECK (tenant = 0),
  id uuid NOT NULL,
  number int,
  since timestamptz NOT NULL,
  since_by uuid NOT NULL,
  reason text NOT NULL,
  until timestamptz,
  until_by uuid,
  until_reason text,
  PRIMARY KEY (tenant, id),
  FOREIGN KEY (tenant, number) REFERENCES directory (tenant, number),
  CONSTRAINT ended CHECK (
    (until IS NULL) = (until_by IS NULL) AND (until IS NULL) = (until_reason IS NULL))
);
CREATE UNIQUE INDEX read_only_on ON read_only (coalesce(number, 0)) WHERE until IS NULL;
SELECT protect('read_only');
REVOKE DELETE, TRUNCATE ON read_only FROM :login;
