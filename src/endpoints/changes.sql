-- Row changes of users' tables as events: a transactional outbox in one line.

CREATE FUNCTION integ.tg_publish_changes() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_publish_changes';
COMMENT ON FUNCTION integ.tg_publish_changes() IS
    'Publishes what a statement has changed, on behalf of the table''s owner; see integ_publish_changes';

-- What the caller says of a table, checked: the arguments of its triggers by operation.
CREATE FUNCTION integ.publication_arguments(target regclass, options jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known constant text[] := '{event,events,columns,key,old,client_column}';
    prefix text;
    arguments jsonb := '{}';
    wrong text;
    operation text;
    event text;
BEGIN
    IF jsonb_typeof(options) <> 'object' THEN
        RAISE EXCEPTION 'the options of integ_publish_changes must be an object' USING ERRCODE = 'IG400';
    END IF;
    SELECT k INTO wrong FROM jsonb_object_keys(options) k WHERE k <> ALL (known);
    IF FOUND THEN
        RAISE EXCEPTION 'integ_publish_changes has no option "%"', wrong
            USING ERRCODE = 'IG400', HINT = format('There are %s.', array_to_string(known, ', '));
    END IF;
    SELECT c INTO wrong
    FROM jsonb_array_elements_text(coalesce(options -> 'columns', '[]')
         || CASE WHEN options ? 'key' THEN jsonb_build_array(options -> 'key') ELSE '[]' END
         || CASE WHEN options ? 'client_column' THEN jsonb_build_array(options -> 'client_column') ELSE '[]' END) c
    WHERE NOT EXISTS (SELECT FROM pg_attribute a
                      WHERE a.attrelid = target AND a.attname = c AND a.attnum > 0 AND NOT a.attisdropped);
    IF FOUND THEN
        RAISE EXCEPTION 'table "%" has no column "%"', target, wrong USING ERRCODE = 'IG400';
    END IF;
    prefix := coalesce(options ->> 'event',
        (SELECT regexp_replace(relname, '[^A-Za-z0-9_.-]', '_', 'g') FROM pg_class WHERE oid = target));
    FOR operation, event IN VALUES ('insert', 'created'), ('update', 'updated'), ('delete', 'deleted') LOOP
        -- A JSON null leaves the operation out.
        IF options -> 'events' ? operation THEN
            event := options -> 'events' ->> operation;
        ELSE
            event := prefix || '.' || event;
        END IF;
        CONTINUE WHEN event IS NULL;
        IF event !~ '^[A-Za-z0-9_.-]{1,128}$' OR event LIKE 'integ.%' THEN
            RAISE EXCEPTION '"%" is no type of an event', event
                USING ERRCODE = 'IG400', HINT = 'Name it: integ_publish_changes(…, ''{"event": "order"}'').';
        END IF;
        arguments := arguments
            || jsonb_build_object(operation, (options - 'events') || jsonb_build_object('event', event));
    END LOOP;
    RETURN arguments;
END
$$;
COMMENT ON FUNCTION integ.publication_arguments(regclass, jsonb) IS
    'The arguments of the triggers that integ_publish_changes makes, by operation; raises IG400 for what cannot be';

CREATE FUNCTION integ_unpublish_changes(target regclass) RETURNS boolean
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text;
    found_any boolean := false;
BEGIN
    FOR name IN
        SELECT t.tgname FROM pg_trigger t
        WHERE t.tgrelid = target AND t.tgfoid = 'integ.tg_publish_changes()'::regprocedure
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', name, target);
        found_any := true;
    END LOOP;
    RETURN found_any;
END
$$;
COMMENT ON FUNCTION integ_unpublish_changes(regclass) IS
    'Ends what integ_publish_changes began; false where the changes of the table were not published';

CREATE FUNCTION integ_publish_changes(target regclass, options jsonb DEFAULT '{}') RETURNS text[]
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    arguments jsonb := integ.publication_arguments(target, options);
    operation text;
    argument jsonb;
BEGIN
    PERFORM @extschema@.integ_unpublish_changes(target);
    FOR operation, argument IN SELECT * FROM jsonb_each(arguments) LOOP
        EXECUTE format(
            'CREATE TRIGGER %I AFTER %s ON %s REFERENCING %s FOR EACH STATEMENT'
            ' EXECUTE FUNCTION integ.tg_publish_changes(%L)',
            'integ_publish_' || operation, operation, target,
            CASE operation WHEN 'insert' THEN 'NEW TABLE AS integ_new'
                           WHEN 'delete' THEN 'OLD TABLE AS integ_old'
                           ELSE 'OLD TABLE AS integ_old NEW TABLE AS integ_new' END,
            argument);
    END LOOP;
    RETURN ARRAY(SELECT e.value ->> 'event' FROM jsonb_each(arguments) e
                 ORDER BY array_position('{insert,update,delete}', e.key));
END
$$;
COMMENT ON FUNCTION integ_publish_changes(regclass, jsonb) IS
    'Publishes every change of a table''s rows from now on, and returns the types of the events; options: event, '
    'events, columns, key, old, client_column';

-- --- integ's own events ---

CREATE FUNCTION integ.tg_event_publish() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_event_publish';
COMMENT ON FUNCTION integ.tg_event_publish() IS 'Publishes an event of integ to the endpoints that name it';
CREATE TRIGGER events_publish AFTER INSERT ON integ.events
    FOR EACH ROW EXECUTE FUNCTION integ.tg_event_publish();

CREATE FUNCTION integ_delivery_cancel(delivery uuid) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT AS 'MODULE_PATHNAME', 'integ_delivery_cancel';
COMMENT ON FUNCTION integ_delivery_cancel(uuid) IS
    'Cancels a delivery: "cancelled", or "sending" where it is on its way and only further attempts are cancelled';

CREATE FUNCTION integ_delivery_replay(delivery uuid) RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT AS 'MODULE_PATHNAME', 'integ_delivery_replay';
COMMENT ON FUNCTION integ_delivery_replay(uuid) IS
    'Sends the event of a delivery that has ended once more, and returns the new delivery; one that waits is made now';

CREATE FUNCTION integ_deliveries_replay(filter jsonb) RETURNS SETOF uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'integ_deliveries_replay';
COMMENT ON FUNCTION integ_deliveries_replay(jsonb) IS
    'Sends the events of deliveries to an endpoint once more, and returns the new ones: those that match endpoint, '
    'event_type, state (dead), since, until (when they were published), oldest first, up to limit (1000)';

GRANT EXECUTE ON FUNCTION integ.tg_publish_changes(), integ.publication_arguments(regclass, jsonb),
    integ_publish_changes(regclass, jsonb), integ_unpublish_changes(regclass) TO integ_user;
GRANT EXECUTE ON FUNCTION integ_delivery_cancel(uuid), integ_delivery_replay(uuid), integ_deliveries_replay(jsonb)
    TO integ_admin;
