-- Endpoints: events go out to the local service of the tests.
\getenv provider_url INTEG_PROVIDER_URL
\set VERBOSITY terse

-- what waits for a condition; as the superuser
CREATE FUNCTION delivered(message uuid, wanted text DEFAULT 'delivered') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    FOR i IN 1..600 LOOP
        SELECT string_agg(state, ' ' ORDER BY state) INTO found FROM integ.deliveries d
        WHERE d.message = delivered.message;
        EXIT WHEN found ~ ('^(' || wanted || ' ?)+$');
        PERFORM pg_sleep(0.05);
    END LOOP;
    RETURN found;
END $$;

-- an endpoint is one statement; its secret is shown once
SELECT endpoint IS NOT NULL AS added, secret ~ '^whsec_[A-Za-z0-9+/]{43}=$' AS secret, public_key
FROM integ_endpoint_add(:'provider_url' || '/echo/orders', '{order.*}', '{"endpoint_id": "orders", "name": "Orders"}');
SELECT endpoint_id, name, client_id, event_types, status, secrets FROM integ.endpoints;
SELECT name, hint ~ '^….{4}$' AS hint, allowed_origins FROM integ.credential_hints WHERE owner_kind = 'endpoint';

-- published once committed, to whom it concerns
BEGIN;
SELECT integ_publish('order.created', '{"id": 17, "total": 99.50}') AS message \gset
SELECT state, event_type, payload FROM integ.deliveries WHERE message = :'message';
COMMIT;
SELECT delivered(:'message');
SELECT state, attempt, last_status, last_error FROM integ.deliveries WHERE message = :'message';
SELECT attempt, status, sqlstate, error, duration_us > 0 AS took, response LIKE $$%"path": "/echo/orders"%$$ AS response
FROM integ.delivery_attempts WHERE message = :'message';
