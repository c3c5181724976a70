-- Approved commands that a maintenance window or read-only mode holds back for now.
CREATE TABLE put_aside (
  tenant int NOT NULL,
  proposal uuid NOT NULL,
  operation text NOT NULL,
  request text NOT NULL,
  PRIMARY KEY (tenant, proposal)
);
SELECT protect('put_aside');

-- Whose there are any. Runs as the owner: a sweep does not know the tenants.
CREATE FUNCTION put_aside_tenants() RETURNS SETOF int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
  SELECT DISTINCT tenant FROM put_aside ORDER BY tenant
$$;
