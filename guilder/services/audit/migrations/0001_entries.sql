-- Where each tenant's chain ends. Locking this row is what puts concurrent appends in an order.
CREATE TABLE head (
  tenant int NOT NULL,
  n bigint NOT NULL,
  hash bytea NOT NULL,
  PRIMARY KEY (tenant)
);
SELECT protect('head');
REVOKE DELETE, TRUNCATE ON head FROM :login;

-- One line of the audit. `n` ascends without gaps per tenant; `hash` chains it to the line before.
-- `ref` is the event's position in the log of `source`, or the id of a record: once only.
CREATE TABLE entry (
  tenant int NOT NULL,
  n bigint NOT NULL CHECK (n > 0),
  source text NOT NULL,
  ref text NOT NULL,
  at timestamptz NOT NULL,
  operation text NOT NULL,
  principal uuid NOT NULL,
  outcome text NOT NULL,
  request text NOT NULL,
  ids text NOT NULL,
  hash bytea NOT NULL,
  PRIMARY KEY (tenant, n),
  UNIQUE (tenant, source, ref)
);
CREATE INDEX entry_principal ON entry (tenant, principal, n);
CREATE INDEX entry_operation ON entry (tenant, operation, n);
SELECT protect('entry');
REVOKE UPDATE, DELETE, TRUNCATE ON entry FROM :login;
