-- An agreement with its holders. It is written before anything else happens, in state `opening`,
-- so that its reference is taken and a crash leaves a row that says how far it got. `wanted` is the
-- state that a change under way leads to: whoever holds `change` until `change_until` carries it
-- out, afterwards anyone may. The last `change` stays, so that a repeat recognises its own.
CREATE TABLE account (
  tenant int NOT NULL,
  id uuid NOT NULL,
  number bigint,
  iban text,
  product text NOT NULL CHECK (product IN ('current', 'savings')),
  currency text NOT NULL,
  overdraft bigint CHECK (overdraft >= 0),
  state text NOT NULL CHECK (state IN ('opening', 'open', 'blocked', 'closed')),
  opened_on date NOT NULL,
  reference text,
  change uuid NOT NULL,
  wanted text CHECK (wanted IN ('open', 'blocked', 'closed')),
  change_until timestamptz,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, reference),
  UNIQUE (iban),
  CHECK ((state = 'opening') = (iban IS NULL)),
  CHECK ((wanted IS NULL) = (change_until IS NULL))
);
CREATE INDEX account_under_way ON account (tenant, change_until) WHERE wanted IS NOT NULL;
SELECT protect('account');

-- Who holds an account, in the order in which the holders were named.
CREATE TABLE holder (
  tenant int NOT NULL,
  account uuid NOT NULL,
  place smallint NOT NULL,
  party uuid NOT NULL,
  PRIMARY KEY (tenant, account, place),
  UNIQUE (tenant, party, account),
  FOREIGN KEY (tenant, account) REFERENCES account (tenant, id)
);
SELECT protect('holder');

-- The next number of each tenant's account numbers.
CREATE TABLE account_number (
  tenant int PRIMARY KEY,
  next bigint NOT NULL
);
SELECT protect('account_number');
