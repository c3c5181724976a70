-- Bindings of editions: live, as a canary or as a shadow, planned ahead, taken back. Old code knows
-- live ones that begin at once: bind nothing else before every registry process is of this release.
-- There are a few bindings at most: what is checked and indexed here keeps nobody waiting.
-- squawk-ignore-file constraint-missing-not-valid, adding-foreign-key-constraint
-- squawk-ignore-file require-concurrent-index-creation
ALTER TABLE binding ADD COLUMN mode text NOT NULL DEFAULT 'live';
ALTER TABLE binding ADD COLUMN share smallint NOT NULL DEFAULT 100;
ALTER TABLE binding ADD COLUMN digest text;
ALTER TABLE binding ADD COLUMN attestation uuid;
ALTER TABLE binding ADD COLUMN planned boolean NOT NULL DEFAULT false;
ALTER TABLE binding ADD COLUMN replaces uuid;
ALTER TABLE binding ADD COLUMN restores uuid;
ALTER TABLE binding ADD COLUMN withdrawn_at timestamptz;
ALTER TABLE binding ADD COLUMN ended_reason text;
ALTER TABLE binding ADD COLUMN ended_detail text;
ALTER TABLE binding ADD COLUMN changed bigint;

-- A shadow that is shown no personal data needs no second operator. `ended_reason` planned: another
-- takes its place at the end of `during`, which may be ahead. Whatever was withdrawn was never in
-- force. `changed` is the generation of a change that is neither beginning nor end.
-- squawk-ignore ban-drop-not-null
ALTER TABLE binding ALTER COLUMN approved_by DROP NOT NULL;
ALTER TABLE binding
  ADD CONSTRAINT known_mode CHECK (mode IN ('live', 'canary', 'shadow')),
  ADD CONSTRAINT approved CHECK (approved_by IS NOT NULL OR mode = 'shadow'),
  ADD CONSTRAINT share_of_canary CHECK (
    share BETWEEN 1 AND 100 AND (mode = 'canary') = (share < 100)),
  ADD CONSTRAINT attested CHECK (
    edition = 'A' OR (digest IS NOT NULL AND attestation IS NOT NULL)),
  ADD CONSTRAINT screening_is_closed CHECK (contract <> 'screening' OR on_failure = 'closed'),
  ADD CONSTRAINT known_reason CHECK (
    ended_reason IN ('replaced', 'planned', 'ended', 'rolled-back', 'withdrawn', 'burnt')),
  ADD CONSTRAINT ended_for_a_reason CHECK (ended_reason IS NULL OR ended_by IS NOT NULL),
  ADD CONSTRAINT withdrawn CHECK (
    (withdrawn_at IS NOT NULL) = (ended_reason IS NOT DISTINCT FROM 'withdrawn')),
  ADD CONSTRAINT made_by_attestation
    FOREIGN KEY (tenant, attestation) REFERENCES attestation (tenant, id),
  -- squawk-ignore ban-drop-constraint
  DROP CONSTRAINT one_at_a_time,
  ADD CONSTRAINT one_of_a_mode_at_a_time EXCLUDE USING gist (
    number WITH =, contract WITH =, mode WITH =, during WITH &&) WHERE (withdrawn_at IS NULL);

CREATE INDEX binding_open ON binding (number, contract, mode)
  WHERE upper_inf(during) OR ended_reason = 'planned';
CREATE INDEX binding_open_page ON binding (id)
  WHERE upper_inf(during) OR ended_reason = 'planned';
CREATE INDEX binding_changed ON binding (greatest(generation, ended_generation, changed));
CREATE INDEX binding_of_tenant ON binding (number, generation);
CREATE INDEX binding_of_contract ON binding (contract, generation);

-- What every process saw of a binding: all of it, the last hour by slots, how answers differed.
CREATE TABLE binding_seen (
  tenant int NOT NULL DEFAULT 0 CHECK (tenant = 0),
  binding uuid NOT NULL,
  calls bigint NOT NULL,
  fallbacks bigint NOT NULL,
  total_ms bigint NOT NULL,
  slowest_ms int NOT NULL,
  compared bigint NOT NULL,
  equal bigint NOT NULL,
  dropped bigint NOT NULL,
  omitted bigint NOT NULL DEFAULT 0,
  first_at timestamptz NOT NULL,
  last_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, binding),
  FOREIGN KEY (tenant, binding) REFERENCES binding (tenant, id)
);
SELECT protect('binding_seen');

CREATE TABLE binding_failure (
  tenant int NOT NULL DEFAULT 0 CHECK (tenant = 0),
  binding uuid NOT NULL,
  kind text NOT NULL,
  count bigint NOT NULL,
  PRIMARY KEY (tenant, binding, kind),
  FOREIGN KEY (tenant, binding) REFERENCES binding (tenant, id)
);
SELECT protect('binding_failure');

CREATE TABLE binding_slot (
  tenant int NOT NULL DEFAULT 0 CHECK (tenant = 0),
  binding uuid NOT NULL,
  at timestamptz NOT NULL,
  calls bigint NOT NULL,
  failures bigint NOT NULL,
  fallbacks bigint NOT NULL,
  total_ms bigint NOT NULL,
  slowest_ms int NOT NULL,
  PRIMARY KEY (tenant, binding, at),
  FOREIGN KEY (tenant, binding) REFERENCES binding (tenant, id)
);
CREATE INDEX binding_slot_at ON binding_slot (at);
SELECT protect('binding_slot');

-- Differences of a field together (no currency: ''), and some of the ways in which it differed.
CREATE TABLE binding_field (
  tenant int NOT NULL DEFAULT 0 CHECK (tenant = 0),
  binding uuid NOT NULL,
  field text NOT NULL,
  currency text NOT NULL,
  count bigint NOT NULL,
  total_minor numeric NOT NULL,
  least_minor bigint,
  most_minor bigint,
  PRIMARY KEY (tenant, binding, field, currency),
  FOREIGN KEY (tenant, binding) REFERENCES binding (tenant, id)
);
SELECT protect('binding_field');

CREATE TABLE binding_difference (
  tenant int NOT NULL DEFAULT 0 CHECK (tenant = 0),
  binding uuid NOT NULL,
  n bigint GENERATED ALWAYS AS IDENTITY,
  field text NOT NULL,
  currency text NOT NULL,
  delta_minor bigint,
  serving text,
  other text,
  count bigint NOT NULL,
  PRIMARY KEY (tenant, binding, n),
  UNIQUE NULLS NOT DISTINCT (tenant, binding, field, currency, delta_minor, serving, other),
  FOREIGN KEY (tenant, binding) REFERENCES binding (tenant, id)
);
SELECT protect('binding_difference');

-- Reports taken a short while ago, so that the repeat of one counts nothing twice.
CREATE TABLE observation (
  tenant int NOT NULL DEFAULT 0 CHECK (tenant = 0),
  key text NOT NULL,
  taken int NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (tenant, key)
);
CREATE INDEX observation_at ON observation (at);
SELECT protect('observation');
