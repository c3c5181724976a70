-- A payment from the moment its order was received. `request` is the sealed order and stays only
-- while it is worked on; `subject` is whose key seals `request` and then `remittance`.
CREATE TABLE payment (
  tenant int NOT NULL,
  id uuid NOT NULL,
  state text NOT NULL CHECK (state IN ('processing', 'booked', 'refused')),
  principal uuid NOT NULL,
  principal_kind text NOT NULL CHECK (principal_kind IN ('person', 'client', 'service')),
  party uuid,
  key text NOT NULL,
  approval uuid,
  reverses uuid,
  debtor uuid,
  creditor uuid,
  amount bigint NOT NULL,
  currency text NOT NULL,
  fee bigint,
  subject uuid NOT NULL,
  request bytea,
  remittance bytea,
  created_at timestamptz NOT NULL,
  ended_at timestamptz,
  booked_at timestamptz,
  value_date date,
  refusal_code text,
  refusal_detail text,
  retry_at timestamptz NOT NULL,
  attempts int NOT NULL,
  PRIMARY KEY (tenant, id)
);
SELECT protect('payment');
-- A payment is reversed at most once: a second attempt finds this index, whoever was first.
CREATE UNIQUE INDEX payment_reversed_once ON payment (tenant, reverses)
  WHERE reverses IS NOT NULL AND state <> 'refused';
CREATE INDEX payment_to_resume ON payment (tenant, retry_at) WHERE state = 'processing';

-- Each time somebody worked on a payment, and how that ended.
CREATE TABLE attempt (
  tenant int NOT NULL,
  payment uuid NOT NULL,
  n int NOT NULL,
  cause text NOT NULL CHECK (cause IN ('order', 'repeat', 'sweep')),
  started_at timestamptz NOT NULL,
  ended_at timestamptz,
  outcome text CHECK (outcome IN ('booked', 'refused', 'interrupted')),
  PRIMARY KEY (tenant, payment, n)
);
SELECT protect('attempt');

-- Which edition, version and binding said what.
CREATE TABLE decision (
  tenant int NOT NULL,
  payment uuid NOT NULL,
  n int NOT NULL,
  step text NOT NULL CHECK (step IN ('access', 'pricing', 'ledger')),
  label text NOT NULL,
  generation int NOT NULL,
  outcome text NOT NULL,
  PRIMARY KEY (tenant, payment, n)
);
SELECT protect('decision');

-- What happened to a payment, for people to read.
CREATE TABLE activity (
  tenant int NOT NULL,
  payment uuid NOT NULL,
  n bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL,
  what text NOT NULL CHECK (what IN ('received', 'resumed', 'allowed', 'priced', 'booked',
    'refused', 'reversed', 'repeated')),
  detail text NOT NULL,
  PRIMARY KEY (tenant, payment, n)
);
SELECT protect('activity');

-- A quote that a payment may refer to until it expires.
CREATE TABLE quote (
  tenant int NOT NULL,
  id uuid NOT NULL,
  principal uuid NOT NULL,
  debtor uuid NOT NULL,
  creditor uuid NOT NULL,
  amount bigint NOT NULL,
  fee bigint NOT NULL,
  currency text NOT NULL,
  label text NOT NULL,
  generation int NOT NULL,
  rule text NOT NULL,
  valid_until timestamptz NOT NULL,
  PRIMARY KEY (tenant, id)
);
CREATE INDEX quote_age ON quote (tenant, valid_until);
SELECT protect('quote');

-- Standing orders taken over from another system: recorded, not executed.
CREATE TABLE standing_order (
  tenant int NOT NULL,
  id uuid NOT NULL,
  account uuid NOT NULL,
  reference text NOT NULL,
  amount bigint NOT NULL,
  currency text NOT NULL,
  creditor_bank text NOT NULL,
  creditor_number text NOT NULL,
  purpose text,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, account, reference)
);
SELECT protect('standing_order');
