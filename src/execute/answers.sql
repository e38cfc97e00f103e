-- Last good answers: what a conditional request is answered with where nothing has changed.

CREATE TABLE integ.answers (
    id uuid NOT NULL,
    instance uuid NOT NULL,
    answered_at timestamptz NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C",
    method text COLLATE "C" NOT NULL,
    request_hash bytea NOT NULL,
    etag text COLLATE "C",
    last_modified text COLLATE "C",
    result jsonb,
    PRIMARY KEY (id, instance),
    CONSTRAINT answers_request_hash_check CHECK (pg_catalog.octet_length(request_hash) = 32)
);
CREATE INDEX answers_request_idx ON integ.answers (instance, request_hash, answered_at);
CREATE INDEX answers_answered_at_idx ON integ.answers (answered_at);
COMMENT ON TABLE integ.answers IS
    'Last good answers of methods that are conditional: a cache, not dumped; a row that is deleted is fetched anew';
COMMENT ON COLUMN integ.answers.id IS 'The answer; sorts by time';
COMMENT ON COLUMN integ.answers.instance IS 'Key of the instance that was called';
COMMENT ON COLUMN integ.answers.answered_at IS 'When the service gave it';
COMMENT ON COLUMN integ.answers.client_id IS 'Client that called; ''*'' for global';
COMMENT ON COLUMN integ.answers.user_id IS 'User within the client, or none';
COMMENT ON COLUMN integ.answers.method IS 'Method of the definition';
COMMENT ON COLUMN integ.answers.request_hash IS
    'SHA-256 of the request, of who asked, and of the version of definition and credentials: only the same request finds it';
COMMENT ON COLUMN integ.answers.etag IS 'The service''s ETag, sent as If-None-Match';
COMMENT ON COLUMN integ.answers.last_modified IS 'The service''s Last-Modified, sent as If-Modified-Since';
COMMENT ON COLUMN integ.answers.result IS 'Result of the method';

ALTER TABLE integ.answers ENABLE ROW LEVEL SECURITY;
CREATE POLICY answers_own ON integ.answers USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND ((SELECT integ_current_level()) = 'admin' OR user_id IS NOT DISTINCT FROM (SELECT integ_current_user_id())));
GRANT SELECT (id, instance, answered_at, client_id, user_id, method, etag, last_modified, result), DELETE
    ON integ.answers TO integ_user;
