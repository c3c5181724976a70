-- A payment is screened between pricing and ledger. It may wait for the names of its sides, for the
-- check, and for a person who looks at a hit (`check`).
-- Each constraint is dropped only to be added wider in the same transaction.
-- squawk-ignore ban-drop-constraint
ALTER TABLE waiting DROP CONSTRAINT waiting_part_check;
ALTER TABLE waiting ADD CONSTRAINT waiting_part_check
  CHECK (part IN ('accounts', 'access', 'pricing', 'parties', 'screening', 'check', 'registry',
    'vault', 'ledger', 'maintenance')) NOT VALID;
-- squawk-ignore ban-drop-constraint
ALTER TABLE decision DROP CONSTRAINT decision_step_check;
ALTER TABLE decision ADD CONSTRAINT decision_step_check
  CHECK (step IN ('access', 'pricing', 'screening', 'ledger')) NOT VALID;

-- Who screened it and what was decided, of a payment that had passed when the ledger was asked and
-- did not answer: the money may have moved, and nobody is asked again.
ALTER TABLE waiting ADD COLUMN screened_by text;
ALTER TABLE waiting ADD COLUMN screened_generation int;
ALTER TABLE waiting ADD COLUMN screened_outcome text;
