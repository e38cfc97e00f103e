-- Converts a page and relates it: the ids, or the keys of the rows, that its records became. See src/convert/relations.h.
CREATE FUNCTION test_relate(schema uuid, records jsonb[], ids uuid[], keys jsonb[], client text DEFAULT '*') RETURNS bigint
    LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION test_fill(client text DEFAULT '*') RETURNS bigint
    LANGUAGE c STRICT AS 'MODULE_PATHNAME';
