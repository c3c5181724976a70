-- Who holds which role. A row is never deleted: taking a role back fills `revoked_at`.
CREATE TABLE role_grant (
  tenant int NOT NULL,
  id uuid NOT NULL,
  subject uuid NOT NULL,
  role text NOT NULL,
  account uuid,
  granted_by uuid NOT NULL,
  granted_at timestamptz NOT NULL,
  proposal uuid,
  revoked_by uuid,
  revoked_at timestamptz,
  revoke_reason bytea,
  PRIMARY KEY (tenant, id),
  CONSTRAINT role_known CHECK (
    role IN ('owner', 'signatory', 'bookkeeper', 'manager', 'auditor', 'operator')),
  CONSTRAINT role_scope CHECK (
    (role IN ('owner', 'signatory', 'bookkeeper')) = (account IS NOT NULL)),
  CONSTRAINT role_platform CHECK (role <> 'operator' OR tenant = 0),
  CONSTRAINT role_revoked CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);
-- A subject holds a role on the same thing once; this index also answers every evaluation.
CREATE UNIQUE INDEX role_in_force ON role_grant (tenant, subject, role, account)
  NULLS NOT DISTINCT WHERE revoked_at IS NULL;
CREATE INDEX role_on_account ON role_grant (tenant, account) WHERE revoked_at IS NULL;
SELECT protect('role_grant');

-- Changes that wait for a second pair of eyes. Nobody decides on his own: SQL says so as well.
CREATE TABLE proposal (
  tenant int NOT NULL,
  id uuid NOT NULL,
  operation text NOT NULL,
  input bytea NOT NULL,
  hash bytea NOT NULL,
  state text NOT NULL,
  proposed_by uuid NOT NULL,
  proposed_kind text NOT NULL,
  proposed_party uuid,
  proposed_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  decided_by uuid,
  decided_party uuid,
  decided_at timestamptz,
  reason bytea,
  ended_at timestamptz,
  resource text,
  problem text,
  PRIMARY KEY (tenant, id),
  CONSTRAINT state_known CHECK (
    state IN ('proposed', 'approved', 'rejected', 'expired', 'executed', 'failed')),
  CONSTRAINT kind_known CHECK (proposed_kind IN ('person', 'client', 'service')),
  CONSTRAINT four_eyes CHECK (decided_by <> proposed_by AND decided_party <> proposed_party),
  CONSTRAINT decided CHECK (
    (state IN ('proposed', 'expired')) = (decided_by IS NULL)
    AND (decided_by IS NULL) = (decided_at IS NULL)),
  CONSTRAINT ended CHECK ((state IN ('executed', 'failed')) = (ended_at IS NOT NULL)),
  CONSTRAINT failed_why CHECK ((state = 'failed') = (problem IS NOT NULL))
);
CREATE INDEX proposal_open ON proposal (tenant, expires_at) WHERE state = 'proposed';
SELECT protect('proposal');

-- A fresh platform has one operator; whoever sets it up signs in as this principal.
INSERT INTO role_grant (tenant, id, subject, role, granted_by, granted_at) VALUES (
  0, '00000000-0000-7000-8000-000000000001', '00000000-0000-0000-0000-000000000001', 'operator',
  '00000000-0000-0000-0000-000000000000', now());
