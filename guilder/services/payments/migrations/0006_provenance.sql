-- What a decision came from, so that it can be asked for again. Null where it was made by a
-- release that did not keep it yet. `product` is what pricing was asked about; what else it was
-- asked stands on the payment.
ALTER TABLE decision ADD COLUMN binding uuid;
ALTER TABLE decision ADD COLUMN at timestamptz;
ALTER TABLE decision ADD COLUMN took_us int;
ALTER TABLE decision ADD COLUMN product text;
ALTER TABLE quote ADD COLUMN binding uuid;
ALTER TABLE quote ADD COLUMN asked_at timestamptz;
ALTER TABLE quote ADD COLUMN took_us int;
ALTER TABLE quote ADD COLUMN product text;
