-- Rows written before 0004 are looked through without blocking anybody.
ALTER TABLE waiting VALIDATE CONSTRAINT waiting_part_check;
ALTER TABLE decision VALIDATE CONSTRAINT decision_step_check;
