-- Rows written before 0002 are looked through without blocking anybody.
ALTER TABLE payment VALIDATE CONSTRAINT payment_state_check;
ALTER TABLE attempt VALIDATE CONSTRAINT attempt_outcome_check;
ALTER TABLE activity VALIDATE CONSTRAINT activity_what_check;
