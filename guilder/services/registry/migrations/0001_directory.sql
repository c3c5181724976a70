-- The tenants. Which tenant a call is for is looked up before any tenant is known, so the rows
-- belong to the platform (tenant 0) and only transactions opened for the platform see them.
CREATE TABLE directory (
  tenant int NOT NULL DEFAULT 0 CHECK (tenant = 0),
  number int GENERATED ALWAYS AS IDENTITY CHECK (number > 0),
  slug text NOT NULL,
  name text NOT NULL,
  country text NOT NULL,
  bank_code text NOT NULL,
  bic text NOT NULL,
  currency text NOT NULL,
  zone text NOT NULL,
  holiday_calendar text NOT NULL,
  state text NOT NULL CHECK (state IN ('open', 'closed')),
  created_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, number),
  UNIQUE (slug),
  UNIQUE (country, bank_code)
);
SELECT protect('directory');
