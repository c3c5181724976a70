-- How many codes somebody was sent within a day is asked whenever he sets his address, and what was
-- sent to him when he leaves: neither goes through all deliveries of the tenant. No release was
-- without these while it had deliveries, so that building them keeps nobody waiting.
-- squawk-ignore-file require-concurrent-index-creation
CREATE INDEX delivery_code ON delivery (tenant, recipient, created_at)
  WHERE topic = 'address.code';
CREATE INDEX delivery_sealed ON delivery (tenant, recipient) WHERE sealed IS NOT NULL;
