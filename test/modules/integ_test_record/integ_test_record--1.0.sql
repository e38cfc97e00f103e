-- One function for each of the recorder's; see src/record/record.h.
CREATE FUNCTION test_requests(count bigint, client text DEFAULT 'acme', error text DEFAULT NULL,
                              at timestamptz DEFAULT clock_timestamp()) RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION test_audits(count bigint, client text DEFAULT 'acme', action text DEFAULT 'test.audit',
                            outcome text DEFAULT 'succeeded', detail text DEFAULT NULL) RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME';
-- Opens an intent that stays open; returns its call.
CREATE FUNCTION test_intent(client text DEFAULT 'acme', detail text DEFAULT NULL) RETURNS uuid
    LANGUAGE c AS 'MODULE_PATHNAME';
-- Settles the intent opened last.
CREATE FUNCTION test_outcome(outcome text DEFAULT 'succeeded', detail text DEFAULT NULL) RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION test_used(instance uuid) RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION test_not_held() RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION test_event(kind text, client text DEFAULT NULL, payload jsonb DEFAULT NULL) RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION test_notify(recipient text, client text, kind text, message text, hint text DEFAULT NULL) RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME';
-- How often the keeper of this database woke.
CREATE FUNCTION test_wakeups() RETURNS bigint
    LANGUAGE c AS 'MODULE_PATHNAME';
