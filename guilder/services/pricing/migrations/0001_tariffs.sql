-- Tariffs are only ever added. `seq` decides between two with the same valid_from: the later wins.
CREATE TABLE tariff (
  tenant int NOT NULL,
  id uuid NOT NULL,
  seq bigint GENERATED ALWAYS AS IDENTITY,
  operation text NOT NULL CHECK (operation IN ('book_transfer')),
  product text NOT NULL CHECK (product IN ('current', 'savings')),
  currency text NOT NULL,
  valid_from timestamptz NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, id)
);
CREATE INDEX tariff_in_force
  ON tariff (tenant, operation, product, currency, valid_from DESC, seq DESC);
SELECT protect('tariff');

-- The tiers of a tariff, ascending by n. Amounts in minor units of the tariff's currency;
-- percent_e4 is the percentage times 10,000 (0.25 % = 2500). A NULL is a value not given.
CREATE TABLE tier (
  tenant int NOT NULL,
  tariff uuid NOT NULL,
  n int NOT NULL,
  up_to bigint,
  flat bigint,
  percent_e4 int,
  minimum bigint,
  maximum bigint,
  PRIMARY KEY (tenant, tariff, n),
  FOREIGN KEY (tenant, tariff) REFERENCES tariff (tenant, id)
);
SELECT protect('tier');
