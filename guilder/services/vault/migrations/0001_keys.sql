-- One master key per epoch wraps the data keys of that epoch; only its check value stands here.
CREATE TABLE epoch (
  tenant int NOT NULL,
  epoch int NOT NULL,
  started_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, epoch)
);
SELECT protect('epoch');

-- One wrapped key per subject and epoch. Erasure empties `wrapped` and keeps the row, so that the
-- key can never be made anew for what was sealed before.
CREATE TABLE data_key (
  tenant int NOT NULL,
  subject uuid NOT NULL,
  epoch int NOT NULL,
  wrapped bytea,
  made_at timestamptz NOT NULL,
  erased_at timestamptz,
  PRIMARY KEY (tenant, subject, epoch)
);
SELECT protect('data_key');
