-- A hit on a payment, for people to decide. The reason is sealed with the keys of everybody who was
-- hit; it goes when one of them is destroyed.
CREATE TABLE screening_case (
  tenant int NOT NULL,
  id uuid NOT NULL,
  payment uuid NOT NULL,
  state text NOT NULL CHECK (state IN ('open', 'released', 'confirmed')),
  hits int NOT NULL CHECK (hits > 0),
  basis text NOT NULL,
  screened_by text NOT NULL,
  generation int NOT NULL,
  opened_at timestamptz NOT NULL,
  decided_at timestamptz,
  reason bytea,
  approval uuid,
  PRIMARY KEY (tenant, id),
  -- A payment has one case, whoever opens it and however often.
  UNIQUE (tenant, payment),
  CHECK ((state = 'open') = (decided_at IS NULL))
);
SELECT protect('screening_case');

-- Who was checked: what is about a party is sealed with the party's key, and emptied with it.
CREATE TABLE side (
  tenant int NOT NULL,
  screening_case uuid NOT NULL,
  n int NOT NULL,
  role text NOT NULL CHECK (role IN ('payer', 'payee')),
  party uuid NOT NULL,
  hits int NOT NULL,
  sealed bytea,
  PRIMARY KEY (tenant, screening_case, n),
  FOREIGN KEY (tenant, screening_case) REFERENCES screening_case
);
CREATE INDEX side_party ON side (tenant, party);
SELECT protect('side');
