-- Messages to everyone of a tenant; tenant 0 = everyone on the platform. The id is the sender's:
-- what is delivered twice is here once. It is a UUIDv7, so ids are in the order of what happened.
CREATE TABLE message (
  tenant int NOT NULL,
  id uuid NOT NULL,
  at timestamptz NOT NULL,
  topic text NOT NULL,
  about uuid,
  subject text NOT NULL,
  text text NOT NULL,
  PRIMARY KEY (tenant, id)
);
SELECT protect('message');
REVOKE UPDATE, DELETE, TRUNCATE ON message FROM :login;
