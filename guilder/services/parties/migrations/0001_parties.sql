-- A person or an organisation. All personal data is one sealed blob, opened with the party's own
-- key; `name_hash` finds a whole name without opening anything. Erasure empties both and keeps the
-- row, so that ids elsewhere still point at something and a repeated import makes nobody anew.
CREATE TABLE party (
  tenant int NOT NULL,
  id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('person', 'organisation')),
  sealed bytea,
  name_hash bytea,
  reference text,
  created_at timestamptz NOT NULL,
  erased_at timestamptz,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, reference)
);
CREATE INDEX party_name ON party (tenant, name_hash, id);
SELECT protect('party');
