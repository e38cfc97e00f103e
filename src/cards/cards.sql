-- Cards: what a task's sources gave in one run, as one record.

CREATE FUNCTION integ.card_make(request jsonb, results jsonb, failed jsonb) RETURNS jsonb
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'integ_card_make_sql';
COMMENT ON FUNCTION integ.card_make(jsonb, jsonb, jsonb) IS
    'The data of a card: what each source gave, rendered by the templates of the request, and which sources failed';

-- What a source of a card gives now.
CREATE FUNCTION integ.card_ask(source jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found jsonb;
BEGIN
    SELECT coalesce(jsonb_agg(r.record), '[]') INTO found
    FROM @extschema@.integ_fetch(source ->> 'instance', source ->> 'method', coalesce(source -> 'input', '{}'),
                                 jsonb_build_object('max_records', source -> 'max_records')) AS r (record);
    RETURN CASE WHEN (source ->> 'single')::boolean AND jsonb_array_length(found) = 1 THEN found -> 0 ELSE found END;
END
$$;
COMMENT ON FUNCTION integ.card_ask(jsonb) IS 'Calls the method of a source, and gives its records or its one result';

CREATE FUNCTION integ_card_refresh(record uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    card integ.records;
    source jsonb;
    results jsonb := '{}';
    failed jsonb := '[]';
    made jsonb;
    message text;
BEGIN
    SELECT r.* INTO card FROM integ.records r WHERE r.id = record AND r.type = 'card' AND r.deleted_at IS NULL;
    IF card.id IS NULL THEN
        RAISE EXCEPTION 'there is no card %', record
            USING ERRCODE = 'IG404', HINT = 'Cards are the rows of integ.records whose type is card.';
    END IF;
    IF card.data #> '{api_request,sources}' IS NULL THEN
        RAISE EXCEPTION 'the card % does not say what it was made of', record
            USING ERRCODE = 'IG400', HINT = 'Only cards that a sync task made have an api_request.';
    END IF;
    FOR source IN SELECT s FROM jsonb_array_elements(card.data #> '{api_request,sources}') AS s LOOP
        BEGIN
            results := results || jsonb_build_object(source ->> 'name', integ.card_ask(source));
        EXCEPTION WHEN SQLSTATE 'IG401' OR SQLSTATE 'IG403' OR SQLSTATE 'IG404' OR SQLSTATE 'IG422' OR SQLSTATE 'IG429'
                       OR SQLSTATE 'IG502' OR SQLSTATE 'IG503' OR SQLSTATE 'IG504' THEN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
            failed := failed || jsonb_build_object('source', source ->> 'name', 'error', message);
        END;
    END LOOP;
    IF results = '{}' THEN
        RAISE EXCEPTION 'no source of the card % can be had now', record
            USING ERRCODE = 'IG502', DETAIL = failed #>> '{0,error}', HINT = 'The card is as it was.';
    END IF;
    made := integ.card_make(card.data -> 'api_request', results, failed);
    IF card.data || made IS DISTINCT FROM card.data THEN
        UPDATE integ.records r SET data = r.data || made, updated_at = now() WHERE r.id = card.id;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the card % may be read and not changed', record
                USING ERRCODE = 'IG403', HINT = 'Administrators of its client may, and its user.';
        END IF;
    END IF;
    RETURN made;
END
$$;
COMMENT ON FUNCTION integ_card_refresh(uuid) IS
    'Asks the sources of a card again, and brings it up to date; sources that fail are noted; returns its data';

GRANT EXECUTE ON FUNCTION integ.card_make(jsonb, jsonb, jsonb), integ.card_ask(jsonb), integ_card_refresh(uuid)
    TO integ_user, integ_impersonate;
