-- What definitions bring, a row each. Every reader sees what it sees of the
-- tables beneath.

CREATE VIEW integ.methods WITH (security_invoker = true) AS
SELECT m.definition, m.instance, m.instance_id, m.method ->> 'id' AS id, m.method ->> 'name' AS name,
       m.method ->> 'description' AS description,
       coalesce(m.method ->> 'access',
                CASE WHEN m.method #>> '{request,method}' IN ('GET', 'HEAD') THEN 'read' ELSE 'write' END) AS access,
       coalesce((m.method ->> 'approvalRequired')::boolean, false) AS approval_required,
       coalesce(m.method -> 'requiredScopes', '[]') AS required_scopes,
       coalesce(m.method #>> '{pagination,style}', 'none') <> 'none' AS paginated,
       m.method -> 'inputSchema' AS input_schema, m.method -> 'outputSchema' AS output_schema,
       coalesce(m.method #> '{inputSchema,examples}', '[]') AS examples, m.method
FROM (SELECT d.id AS definition, NULL::uuid AS instance, NULL::text COLLATE "C" AS instance_id, e AS method
      FROM integ.definitions d CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(d.methods) e
      UNION ALL
      SELECT i.definition, i.id, i.instance_id, o.method
      FROM integ.instance_methods o JOIN integ.instances i ON i.id = o.instance) m;
COMMENT ON VIEW integ.methods IS
    'Methods of all definitions, in their current version, and those that only one instance has';
COMMENT ON COLUMN integ.methods.definition IS 'The definition';
COMMENT ON COLUMN integ.methods.instance IS 'The instance that alone has it; NULL: every instance of the definition';
COMMENT ON COLUMN integ.methods.instance_id IS 'Handle of that instance';
COMMENT ON COLUMN integ.methods.id IS 'Method id, for integ_execute';
COMMENT ON COLUMN integ.methods.name IS 'Name for display';
COMMENT ON COLUMN integ.methods.description IS 'What it does';
COMMENT ON COLUMN integ.methods.access IS 'read or write';
COMMENT ON COLUMN integ.methods.approval_required IS 'Whether a person must approve each call';
COMMENT ON COLUMN integ.methods.required_scopes IS
    'Scopes that a call needs; of a list among them any one will do';
COMMENT ON COLUMN integ.methods.paginated IS 'Whether its result comes in pages: integ_fetch gets them all';
COMMENT ON COLUMN integ.methods.input_schema IS 'JSON Schema of the input';
COMMENT ON COLUMN integ.methods.output_schema IS 'JSON Schema of the result';
COMMENT ON COLUMN integ.methods.examples IS 'Examples of the input';
COMMENT ON COLUMN integ.methods.method IS 'The method, as in the manifest';

CREATE VIEW integ.entities WITH (security_invoker = true) AS
SELECT d.id AS definition, n.instance, n.instance_id, e ->> 'id' AS id, coalesce(e ->> 'displayName', e ->> 'name', e ->> 'id') AS name,
       e ->> 'description' AS description, e ->> 'list' AS list_method, e ->> 'get' AS get_method,
       e ->> 'create' AS create_method, e ->> 'update' AS update_method, e ->> 'delete' AS delete_method,
       e ->> 'deleted' AS deleted_method, coalesce(e -> 'input', '{}') AS input, e ->> 'idField' AS id_field,
       e ->> 'modifiedField' AS modified_field, e ->> 'createdField' AS created_field,
       e ->> 'deletedField' AS deleted_field, e ->> 'modifiedParam' AS modified_param,
       CASE WHEN e ? 'supportedSyncDirections'
            THEN ARRAY(SELECT pg_catalog.jsonb_array_elements_text(e -> 'supportedSyncDirections'))
            ELSE d.supported_sync_directions END AS supported_sync_directions,
       e -> 'schema' AS schema, e AS entity
FROM (SELECT a.id AS definition, NULL::uuid AS instance, NULL::text COLLATE "C" AS instance_id, b AS e
      FROM integ.definitions a CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(a.entities) b
      UNION ALL
      SELECT i.definition, i.id, i.instance_id, o.entity
      FROM integ.instance_entities o JOIN integ.instances i ON i.id = o.instance) n
    JOIN integ.definitions d ON d.id = n.definition;
COMMENT ON VIEW integ.entities IS
    'Kinds of records that can be synced: of all definitions, in their current version, and those that only one instance has';
COMMENT ON COLUMN integ.entities.definition IS 'The definition';
COMMENT ON COLUMN integ.entities.instance IS 'The instance that alone has it; NULL: every instance of the definition';
COMMENT ON COLUMN integ.entities.instance_id IS 'Handle of that instance';
COMMENT ON COLUMN integ.entities.id IS 'Entity id';
COMMENT ON COLUMN integ.entities.name IS 'Name for display';
COMMENT ON COLUMN integ.entities.description IS 'What it is';
COMMENT ON COLUMN integ.entities.list_method IS 'Method that lists its records';
COMMENT ON COLUMN integ.entities.get_method IS 'Method that fetches one';
COMMENT ON COLUMN integ.entities.create_method IS 'Method that creates one';
COMMENT ON COLUMN integ.entities.update_method IS 'Method that changes one';
COMMENT ON COLUMN integ.entities.delete_method IS 'Method that deletes one';
COMMENT ON COLUMN integ.entities.deleted_method IS 'Method that lists what was deleted';
COMMENT ON COLUMN integ.entities.input IS 'What each of these methods is called with';
COMMENT ON COLUMN integ.entities.id_field IS 'Where a record''s id is';
COMMENT ON COLUMN integ.entities.modified_field IS 'Where a record says when it was changed';
COMMENT ON COLUMN integ.entities.created_field IS 'Where a record says when it was made';
COMMENT ON COLUMN integ.entities.deleted_field IS 'Where a record says that it was deleted';
COMMENT ON COLUMN integ.entities.modified_param IS 'Input of the list that takes the time of the last run';
COMMENT ON COLUMN integ.entities.supported_sync_directions IS 'pull, push, bidirectional';
COMMENT ON COLUMN integ.entities.schema IS 'JSON Schema of one record';
COMMENT ON COLUMN integ.entities.entity IS 'The entity, as in the manifest';

CREATE VIEW integ.triggers WITH (security_invoker = true) AS
SELECT d.id AS definition, t ->> 'id' AS id, t ->> 'name' AS name, t ->> 'description' AS description,
       t ->> 'type' AS type,
       CASE pg_catalog.jsonb_typeof(t -> 'event')
            WHEN 'string' THEN ARRAY[t ->> 'event']
            WHEN 'array' THEN ARRAY(SELECT pg_catalog.jsonb_array_elements_text(t -> 'event'))
            ELSE '{}' END AS events,
       t ->> 'entity' AS entity, t ->> 'when' AS condition,
       CASE WHEN t ? 'poll' THEN 'poll' ELSE 'webhook' END AS source, t #>> '{poll,method}' AS poll_method,
       CASE WHEN t ? 'poll' THEN coalesce((t #>> '{poll,intervalSeconds}')::integer, 60) END AS poll_seconds,
       t -> 'payloadSchema' AS payload_schema, t AS trigger
FROM integ.definitions d CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(d.triggers) t;
COMMENT ON VIEW integ.triggers IS 'What definitions can tell of, by webhook or by asking, in their current version';
COMMENT ON COLUMN integ.triggers.definition IS 'The definition';
COMMENT ON COLUMN integ.triggers.id IS 'Trigger id';
COMMENT ON COLUMN integ.triggers.name IS 'Name for display';
COMMENT ON COLUMN integ.triggers.description IS 'What happened';
COMMENT ON COLUMN integ.triggers.type IS 'created, updated, deleted, status_changed, commented, assigned, custom';
COMMENT ON COLUMN integ.triggers.events IS 'Events of the webhook that it listens to';
COMMENT ON COLUMN integ.triggers.entity IS 'The entity it happens to';
COMMENT ON COLUMN integ.triggers.condition IS 'Path that must find something in the payload';
COMMENT ON COLUMN integ.triggers.source IS 'webhook or poll';
COMMENT ON COLUMN integ.triggers.poll_method IS 'Method that is asked';
COMMENT ON COLUMN integ.triggers.poll_seconds IS 'How often it is asked';
COMMENT ON COLUMN integ.triggers.payload_schema IS 'JSON Schema of what it brings';
COMMENT ON COLUMN integ.triggers.trigger IS 'The trigger, as in the manifest';

GRANT SELECT ON integ.methods, integ.entities, integ.triggers TO integ_user;
