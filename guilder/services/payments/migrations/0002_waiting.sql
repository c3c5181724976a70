-- A payment that cannot be decided now is `waiting`: stored, and taken up again by the sweep.
-- Each constraint is dropped only to be added wider in the same transaction.
-- squawk-ignore ban-drop-constraint
ALTER TABLE payment DROP CONSTRAINT payment_state_check;
ALTER TABLE payment ADD CONSTRAINT payment_state_check
  CHECK (state IN ('processing', 'waiting', 'booked', 'refused')) NOT VALID;
-- squawk-ignore ban-drop-constraint
ALTER TABLE attempt DROP CONSTRAINT attempt_outcome_check;
ALTER TABLE attempt ADD CONSTRAINT attempt_outcome_check
  CHECK (outcome IN ('booked', 'refused', 'waiting', 'interrupted')) NOT VALID;
-- squawk-ignore ban-drop-constraint
ALTER TABLE activity DROP CONSTRAINT activity_what_check;
ALTER TABLE activity ADD CONSTRAINT activity_what_check
  CHECK (what IN ('received', 'resumed', 'waiting', 'allowed', 'priced', 'booked', 'refused',
    'reversed', 'repeated')) NOT VALID;

-- What each waiting payment waits for; gone when it ends. A table of its own: it is nearly empty,
-- and the sweep reads it all the time. `asked_at` is when the ledger was last asked and did not
-- answer: from then on the money may have moved.
CREATE TABLE waiting (
  tenant int NOT NULL,
  payment uuid NOT NULL,
  since timestamptz NOT NULL,
  part text NOT NULL CHECK (part IN ('accounts', 'access', 'pricing', 'registry', 'vault',
    'ledger', 'maintenance')),
  hold uuid,
  asked_at timestamptz,
  retry_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, payment)
);
SELECT protect('waiting');
