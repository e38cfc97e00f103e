-- Records: their types, the records themselves, what they are linked and related to.

CREATE TABLE integ.record_types (
    id text COLLATE "C" PRIMARY KEY,
    client_id text COLLATE "C" NOT NULL DEFAULT integ_current_client(),
    name text NOT NULL,
    description text,
    schema jsonb NOT NULL DEFAULT '{"type": "object"}',
    title_field text,
    search_fields text[] NOT NULL DEFAULT '{}',
    icon text,
    builtin boolean NOT NULL DEFAULT false,
    created_by text NOT NULL DEFAULT current_user,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT record_types_id_check CHECK (id ~ '^[a-z][a-z0-9_]*$' AND pg_catalog.length(id) <= 100),
    CONSTRAINT record_types_name_check CHECK (name <> ''),
    CONSTRAINT record_types_schema_check CHECK (pg_catalog.jsonb_typeof(schema) = 'object'),
    CONSTRAINT record_types_builtin_check CHECK (NOT builtin OR client_id = '*')
);
COMMENT ON TABLE integ.record_types IS 'Types of records: what the data of a record of the type may hold';
COMMENT ON COLUMN integ.record_types.id IS 'Name by which schemas and records refer to the type (c_contact)';
COMMENT ON COLUMN integ.record_types.client_id IS 'The client that made the type for itself, or ''*'' for all clients';
COMMENT ON COLUMN integ.record_types.name IS 'Name for display';
COMMENT ON COLUMN integ.record_types.description IS 'What a record of the type is';
COMMENT ON COLUMN integ.record_types.schema IS
    'JSON Schema of the data; with "additionalProperties": false a mapping to any other field is refused';
COMMENT ON COLUMN integ.record_types.title_field IS 'The field of data that names a record';
COMMENT ON COLUMN integ.record_types.search_fields IS 'Fields of data that a full-text search looks at';
COMMENT ON COLUMN integ.record_types.icon IS 'Icon: an emoji or the name of one';
COMMENT ON COLUMN integ.record_types.builtin IS 'Whether integ brought it';
COMMENT ON COLUMN integ.record_types.created_by IS 'The role that made it';
COMMENT ON COLUMN integ.record_types.created_at IS 'When it was made';
COMMENT ON COLUMN integ.record_types.updated_at IS 'When it was last changed';

CREATE TABLE integ.records (
    id uuid PRIMARY KEY DEFAULT integ.uuid_generate(),
    type text COLLATE "C" NOT NULL REFERENCES integ.record_types (id),
    client_id text COLLATE "C" NOT NULL DEFAULT integ_current_client(),
    context_type text NOT NULL DEFAULT CASE integ_current_client() WHEN '*' THEN 'global' ELSE 'client' END,
    context_id text COLLATE "C" DEFAULT nullif(integ_current_client(), '*'),
    data jsonb NOT NULL DEFAULT '{}',
    created_by text NOT NULL DEFAULT current_user,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    deleted_at timestamptz,
    CONSTRAINT records_data_check CHECK (pg_catalog.jsonb_typeof(data) = 'object'),
    CONSTRAINT records_context_check CHECK (
        CASE context_type
            WHEN 'global' THEN client_id = '*' AND context_id IS NULL
            WHEN 'client' THEN client_id <> '*' AND context_id IS NOT NULL AND context_id = client_id
            WHEN 'user' THEN client_id <> '*' AND context_id IS NOT NULL
            ELSE false
        END)
);
CREATE INDEX records_type_idx ON integ.records (client_id, type, updated_at);
CREATE INDEX records_data_idx ON integ.records USING gin (data jsonb_path_ops);
COMMENT ON TABLE integ.records IS 'Records of every type, from every source';
COMMENT ON COLUMN integ.records.id IS 'Key of the record';
COMMENT ON COLUMN integ.records.type IS 'Its type (integ.record_types)';
COMMENT ON COLUMN integ.records.client_id IS 'The client it belongs to; ''*'' for global';
COMMENT ON COLUMN integ.records.context_type IS 'Whose it is: global, client, user';
COMMENT ON COLUMN integ.records.context_id IS 'The client or user it belongs to; NULL for global';
COMMENT ON COLUMN integ.records.data IS 'What the type''s schema says';
COMMENT ON COLUMN integ.records.created_by IS 'The role that made it';
COMMENT ON COLUMN integ.records.created_at IS 'When it was made';
COMMENT ON COLUMN integ.records.updated_at IS 'When it was last changed';
COMMENT ON COLUMN integ.records.deleted_at IS 'When it was soft-deleted; NULL: it is there';

-- The natural key is the primary key: a sync finds a link by what the service
-- calls the record. No foreign keys, which would be checked for each of a
-- million rows; what an instance leaves behind is deleted with it.
CREATE TABLE integ.record_links (
    instance uuid NOT NULL,
    schema uuid NOT NULL,
    external_type text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    record uuid,
    target_table regclass,
    target_key jsonb,
    sync_status text NOT NULL DEFAULT 'synced',
    last_synced_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    raw_hash bytea,
    external_values jsonb,
    local_values jsonb,
    external_modified_at timestamptz,
    local_modified_at timestamptz,
    field_times jsonb,
    seen_by uuid,
    error text,
    metadata jsonb NOT NULL DEFAULT '{}',
    deleted_at timestamptz,
    PRIMARY KEY (instance, schema, external_type, external_id),
    CONSTRAINT record_links_target_check CHECK (
        (record IS NULL) = (target_table IS NOT NULL) AND (target_table IS NULL) = (target_key IS NULL)),
    CONSTRAINT record_links_target_key_check CHECK (pg_catalog.jsonb_typeof(target_key) = 'object'),
    CONSTRAINT record_links_external_id_check
        CHECK (external_id <> '' AND pg_catalog.octet_length(external_id) <= 1000),
    CONSTRAINT record_links_sync_status_check CHECK (sync_status IN ('synced', 'pending', 'error'))
);
CREATE INDEX record_links_external_id_idx ON integ.record_links (external_id);
CREATE INDEX record_links_record_idx ON integ.record_links (record) WHERE record IS NOT NULL;
CREATE INDEX record_links_target_key_idx ON integ.record_links (target_table, target_key)
    WHERE target_table IS NOT NULL;
COMMENT ON TABLE integ.record_links IS
    'Links: which external id is which local record or row, and what both looked like at the last sync';
COMMENT ON COLUMN integ.record_links.instance IS 'The connection that the external record was seen through';
COMMENT ON COLUMN integ.record_links.schema IS 'The conversion schema that made the local side';
COMMENT ON COLUMN integ.record_links.external_type IS 'The entity, as the service calls it (Contact)';
COMMENT ON COLUMN integ.record_links.external_id IS 'Its id at the service';
COMMENT ON COLUMN integ.record_links.client_id IS 'The client it belongs to; ''*'' for global';
COMMENT ON COLUMN integ.record_links.record IS 'The local record (integ.records); NULL where the target is a table';
COMMENT ON COLUMN integ.record_links.target_table IS
    'The table of the local row, whatever it is renamed to; NULL where the target is a record';
COMMENT ON COLUMN integ.record_links.target_key IS 'The key of the local row, by column';
COMMENT ON COLUMN integ.record_links.sync_status IS 'synced, pending (a change waits to be pushed), error';
COMMENT ON COLUMN integ.record_links.last_synced_at IS 'When both sides were last brought together';
COMMENT ON COLUMN integ.record_links.raw_hash IS
    'Hash of the raw record with schema version and task config: one that is unchanged is not converted again';
COMMENT ON COLUMN integ.record_links.external_values IS 'The external record''s mapped values at the last sync';
COMMENT ON COLUMN integ.record_links.local_values IS 'The local values at the last sync';
COMMENT ON COLUMN integ.record_links.external_modified_at IS 'When the service says it was last changed there';
COMMENT ON COLUMN integ.record_links.local_modified_at IS 'When it was last changed here';
COMMENT ON COLUMN integ.record_links.field_times IS
    'When single fields were changed, of either side, where that is known';
COMMENT ON COLUMN integ.record_links.seen_by IS 'The execution that saw it last';
COMMENT ON COLUMN integ.record_links.error IS 'What went wrong last with this record, without secrets';
COMMENT ON COLUMN integ.record_links.metadata IS 'Anything else that is known of the link';
COMMENT ON COLUMN integ.record_links.deleted_at IS 'When it disappeared at the service; NULL: it is there';

CREATE TABLE integ.record_relations (
    id uuid PRIMARY KEY DEFAULT integ.uuid_generate(),
    client_id text COLLATE "C" NOT NULL DEFAULT integ_current_client(),
    instance uuid,
    schema uuid,
    relation_type text COLLATE "C" NOT NULL,
    from_record uuid REFERENCES integ.records (id) ON DELETE CASCADE,
    from_table regclass,
    from_key jsonb,
    to_record uuid REFERENCES integ.records (id) ON DELETE CASCADE,
    to_type text COLLATE "C",
    to_table regclass,
    to_external_id text COLLATE "C",
    to_field text COLLATE "C",
    to_value text COLLATE "C",
    value_field text COLLATE "C",
    value jsonb,
    field text,
    error text,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    linked_at timestamptz,
    CONSTRAINT record_relations_from_check CHECK (
        (from_record IS NULL) = (from_table IS NOT NULL) AND (from_table IS NULL) = (from_key IS NULL)
        AND (from_table IS NULL OR schema IS NOT NULL)),
    CONSTRAINT record_relations_from_key_check CHECK (pg_catalog.jsonb_typeof(from_key) = 'object'),
    CONSTRAINT record_relations_to_check CHECK (
        (to_type IS NULL) = (to_table IS NOT NULL) AND (to_record IS NULL OR to_type IS NOT NULL)),
    CONSTRAINT record_relations_target_check CHECK (
        to_record IS NOT NULL OR to_external_id IS NOT NULL OR (to_field IS NOT NULL AND to_value IS NOT NULL)),
    CONSTRAINT record_relations_length_check CHECK (
        pg_catalog.octet_length(to_external_id) <= 1000 AND pg_catalog.octet_length(to_value) <= 1000)
);
CREATE INDEX record_relations_from_record_idx ON integ.record_relations (from_record) WHERE from_record IS NOT NULL;
CREATE INDEX record_relations_from_key_idx ON integ.record_relations (from_table, from_key)
    WHERE from_table IS NOT NULL;
CREATE INDEX record_relations_to_record_idx ON integ.record_relations (to_record) WHERE to_record IS NOT NULL;
CREATE INDEX record_relations_pending_idx ON integ.record_relations (client_id, to_external_id)
    WHERE to_record IS NULL AND value IS NULL;
CREATE INDEX record_relations_pending_record_idx ON integ.record_relations (to_type, to_field, to_value)
    WHERE to_record IS NULL AND value IS NULL AND to_type IS NOT NULL AND to_field IS NOT NULL;
CREATE INDEX record_relations_pending_row_idx ON integ.record_relations (to_table, to_field, value_field, to_value)
    WHERE to_record IS NULL AND value IS NULL AND to_table IS NOT NULL AND to_field IS NOT NULL;
CREATE INDEX record_relations_unfilled_idx ON integ.record_relations (client_id, schema)
    WHERE from_table IS NOT NULL AND field IS NOT NULL AND error IS NULL AND linked_at IS NULL
        AND (to_record IS NOT NULL OR value IS NOT NULL);
COMMENT ON TABLE integ.record_relations IS
    'Relations between records; one whose target has not arrived yet is linked when it does. Of a row of a table '
    'only what waits to become its foreign key';
COMMENT ON COLUMN integ.record_relations.id IS 'Key of the relation';
COMMENT ON COLUMN integ.record_relations.client_id IS 'The client it belongs to; ''*'' for global';
COMMENT ON COLUMN integ.record_relations.instance IS
    'The connection whose external id is meant; NULL: any of the client';
COMMENT ON COLUMN integ.record_relations.schema IS
    'The conversion schema that it comes from; NULL: somebody made it by hand';
COMMENT ON COLUMN integ.record_relations.relation_type IS 'What the relation is (belongs_to)';
COMMENT ON COLUMN integ.record_relations.from_record IS
    'The record that has the relation; NULL where a row of a table has';
COMMENT ON COLUMN integ.record_relations.from_table IS 'The table of the row that has the relation';
COMMENT ON COLUMN integ.record_relations.from_key IS 'The key of that row, by column';
COMMENT ON COLUMN integ.record_relations.to_record IS 'The record it leads to; NULL until that arrives';
COMMENT ON COLUMN integ.record_relations.to_type IS
    'Type of the record it leads to; NULL where it leads to a row of a table';
COMMENT ON COLUMN integ.record_relations.to_table IS 'The table of the row it leads to';
COMMENT ON COLUMN integ.record_relations.to_external_id IS 'External id of what it leads to, where it is meant by that';
COMMENT ON COLUMN integ.record_relations.to_field IS 'The field of data, or column, by which what it leads to is meant';
COMMENT ON COLUMN integ.record_relations.to_value IS 'Its value, as text';
COMMENT ON COLUMN integ.record_relations.value_field IS
    'The column of the row it leads to that is referred to; NULL: its key';
COMMENT ON COLUMN integ.record_relations.value IS 'What that column holds; NULL until the row arrives';
COMMENT ON COLUMN integ.record_relations.field IS
    'The field of from_record''s data, or column of from_table, that takes the id of to_record or the value; NULL: '
    'none';
COMMENT ON COLUMN integ.record_relations.error IS
    'Why the column could not take it: not tried again until the row is synced again';
COMMENT ON COLUMN integ.record_relations.metadata IS 'Anything else that is known of the relation';
COMMENT ON COLUMN integ.record_relations.created_at IS 'When it was made';
COMMENT ON COLUMN integ.record_relations.linked_at IS 'When its target arrived and the field took it';

CREATE TABLE integ.currency_rates (
    client_id text COLLATE "C" NOT NULL DEFAULT integ_current_client(),
    from_currency text COLLATE "C" NOT NULL,
    to_currency text COLLATE "C" NOT NULL,
    date date NOT NULL,
    rate numeric NOT NULL,
    source text,
    PRIMARY KEY (client_id, from_currency, to_currency, date),
    CONSTRAINT currency_rates_currency_check
        CHECK (from_currency ~ '^[A-Z]{3}$' AND to_currency ~ '^[A-Z]{3}$' AND from_currency <> to_currency),
    CONSTRAINT currency_rates_rate_check CHECK (rate > 0 AND rate < 'Infinity'::numeric)
);
COMMENT ON TABLE integ.currency_rates IS
    'Rates that currency_convert uses: the newest on or before the day that counts, a client''s own before global ones';
COMMENT ON COLUMN integ.currency_rates.client_id IS 'The client whose rate it is, or ''*'' for all clients';
COMMENT ON COLUMN integ.currency_rates.from_currency IS 'Currency (ISO 4217) of one unit';
COMMENT ON COLUMN integ.currency_rates.to_currency IS 'Currency (ISO 4217) of the rate';
COMMENT ON COLUMN integ.currency_rates.date IS 'The first day that the rate counts for';
COMMENT ON COLUMN integ.currency_rates.rate IS 'What one unit of from_currency is in to_currency';
COMMENT ON COLUMN integ.currency_rates.source IS 'Where the rate comes from';

-- --- who sees and writes what ---

ALTER TABLE integ.record_types ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.records ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.record_links ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.record_relations ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.currency_rates ENABLE ROW LEVEL SECURITY;

CREATE POLICY record_types_read ON integ.record_types FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin' OR client_id = (SELECT integ_current_client())
    OR client_id = '*' AND (SELECT integ_current_client()) IS NOT NULL);
CREATE POLICY record_types_write ON integ.record_types USING (
    NOT builtin AND ((SELECT integ_current_level()) = 'superadmin'
                     OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin'));

CREATE POLICY records_read ON integ.records FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND (context_type = 'client' OR context_id = (SELECT integ_current_user_id())
            OR (SELECT integ_current_level()) = 'admin')
    OR client_id = '*' AND (SELECT integ_current_client()) IS NOT NULL);
CREATE POLICY records_write ON integ.records USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND ((SELECT integ_current_level()) = 'admin'
            OR context_type = 'user' AND context_id = (SELECT integ_current_user_id())));

CREATE POLICY record_links_read ON integ.record_links FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin'
    OR record IS NOT NULL AND EXISTS (SELECT FROM integ.records r WHERE r.id = record_links.record));
CREATE POLICY record_links_write ON integ.record_links USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin');

CREATE POLICY record_relations_read ON integ.record_relations FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin'
    OR from_record IS NOT NULL AND EXISTS (SELECT FROM integ.records r WHERE r.id = record_relations.from_record));
CREATE POLICY currency_rates_read ON integ.currency_rates FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin' OR client_id = (SELECT integ_current_client())
    OR client_id = '*' AND (SELECT integ_current_client()) IS NOT NULL);
CREATE POLICY currency_rates_write ON integ.currency_rates USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin');

GRANT SELECT ON integ.record_types, integ.records, integ.record_links, integ.record_relations, integ.currency_rates
    TO integ_user;
GRANT INSERT, UPDATE, DELETE ON integ.records TO integ_user;
GRANT INSERT, UPDATE, DELETE ON integ.record_types, integ.record_relations, integ.currency_rates TO integ_admin;
GRANT UPDATE (sync_status, metadata), DELETE ON integ.record_links TO integ_admin;

-- --- what follows from a change ---

CREATE TRIGGER record_types_invalidate AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON integ.record_types
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_invalidate();
ALTER TABLE integ.record_types ENABLE ALWAYS TRIGGER record_types_invalidate;

CREATE FUNCTION integ.tg_record_type_check() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_record_type_check';
COMMENT ON FUNCTION integ.tg_record_type_check() IS 'Checks the JSON Schema of a record type';
CREATE TRIGGER record_types_check BEFORE INSERT OR UPDATE OF schema ON integ.record_types
    FOR EACH ROW EXECUTE FUNCTION integ.tg_record_type_check();

CREATE FUNCTION integ.tg_updated_at() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION integ.tg_updated_at() IS 'Stamps when a row was changed';
CREATE TRIGGER record_types_changed BEFORE UPDATE ON integ.record_types
    FOR EACH ROW EXECUTE FUNCTION integ.tg_updated_at();
CREATE TRIGGER records_changed BEFORE UPDATE ON integ.records
    FOR EACH ROW WHEN (current_user <> 'integ_owner') EXECUTE FUNCTION integ.tg_updated_at();

CREATE FUNCTION integ.tg_instance_links() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_instance_links';
COMMENT ON FUNCTION integ.tg_instance_links() IS 'Deletes the links of a deleted instance; the local side stays';
CREATE TRIGGER instances_links AFTER DELETE ON integ.instances
    FOR EACH ROW EXECUTE FUNCTION integ.tg_instance_links();

-- A restore may bring a type that integ has come to bring itself: the restored one wins.
CREATE FUNCTION integ.tg_record_type_restore() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE integ.record_types t
    SET client_id = NEW.client_id, name = NEW.name, description = NEW.description, schema = NEW.schema,
        title_field = NEW.title_field, search_fields = NEW.search_fields, icon = NEW.icon, builtin = false,
        created_by = NEW.created_by, created_at = NEW.created_at
    WHERE t.id = NEW.id AND t.builtin;
    RETURN CASE WHEN FOUND THEN NULL ELSE NEW END;
END
$$;
COMMENT ON FUNCTION integ.tg_record_type_restore() IS
    'Lets a restored record type meet the one that CREATE EXTENSION made';
CREATE TRIGGER record_types_restore BEFORE INSERT ON integ.record_types
    FOR EACH ROW WHEN (NOT NEW.builtin) EXECUTE FUNCTION integ.tg_record_type_restore();

SELECT pg_catalog.pg_extension_config_dump('integ.record_types', 'WHERE NOT builtin');
SELECT pg_catalog.pg_extension_config_dump('integ.records', '');
SELECT pg_catalog.pg_extension_config_dump('integ.record_links', '');
SELECT pg_catalog.pg_extension_config_dump('integ.record_relations', '');
SELECT pg_catalog.pg_extension_config_dump('integ.currency_rates', '');

-- --- the types that integ brings ---

INSERT INTO integ.record_types
    (id, client_id, name, description, title_field, search_fields, icon, builtin, schema) VALUES
('c_news', '*', 'News', 'An article', 'name', '{name,summary,source,author}', 'newspaper', true, '{
  "type": "object",
  "additionalProperties": false,
  "required": ["name", "url", "source", "publishedAt"],
  "properties": {
    "name": {"type": "string", "description": "Article title"},
    "summary": {"type": ["string", "null"], "description": "Article description or snippet"},
    "url": {"type": "string", "description": "Original article URL"},
    "source": {"type": "string", "description": "News source name"},
    "sourceUrl": {"type": ["string", "null"], "description": "News source URL"},
    "publishedAt": {"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]},
    "author": {"type": ["string", "null"]},
    "imageUrl": {"type": ["string", "null"]},
    "industry": {"type": ["string", "null"]},
    "topics": {"type": ["array", "null"], "items": {"type": "string"}},
    "sentiment": {"enum": ["positive", "negative", "neutral", null]},
    "aiSummary": {"type": ["string", "null"]},
    "keyEntities": {"type": ["array", "null"], "items": {"type": "string"}},
    "relevanceScore": {"type": ["number", "null"]}
  }
}'),
('c_contact', '*', 'Contact', 'A person', 'name', '{name,email,phone}', 'user', true, '{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "name": {"type": ["string", "null"]},
    "firstName": {"type": ["string", "null"]},
    "lastName": {"type": ["string", "null"]},
    "email": {"type": ["string", "null"]},
    "phone": {"type": ["string", "null"]},
    "title": {"type": ["string", "null"], "description": "Position in the company"},
    "contactType": {"type": ["string", "null"]},
    "street": {"type": ["string", "null"]},
    "city": {"type": ["string", "null"]},
    "state": {"type": ["string", "null"]},
    "postalCode": {"type": ["string", "null"]},
    "country": {"type": ["string", "null"]},
    "companyId": {"type": ["string", "null"], "description": "Id of its c_company"},
    "source": {"type": ["string", "null"], "description": "Where it comes from"},
    "tags": {"type": ["array", "null"], "items": {"type": "string"}}
  }
}'),
('c_company', '*', 'Company', 'An organization', 'name', '{name,industry,website}', 'building', true, '{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "name": {"type": ["string", "null"]},
    "website": {"type": ["string", "null"]},
    "industry": {"type": ["string", "null"]},
    "phone": {"type": ["string", "null"]},
    "employees": {"type": ["number", "null"]},
    "revenue": {"type": ["number", "null"]},
    "currency": {"type": ["string", "null"]},
    "street": {"type": ["string", "null"]},
    "city": {"type": ["string", "null"]},
    "state": {"type": ["string", "null"]},
    "postalCode": {"type": ["string", "null"]},
    "country": {"type": ["string", "null"]},
    "parentId": {"type": ["string", "null"], "description": "Id of the c_company it belongs to"},
    "source": {"type": ["string", "null"], "description": "Where it comes from"},
    "tags": {"type": ["array", "null"], "items": {"type": "string"}}
  }
}'),
('c_opportunity', '*', 'Opportunity', 'A possible sale', 'name', '{name,stage}', 'handshake', true, '{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "name": {"type": ["string", "null"]},
    "value": {"type": ["number", "null"]},
    "currency": {"type": ["string", "null"]},
    "stage": {"enum": ["lead", "qualified", "proposal", "negotiation", "won", "lost", null]},
    "probability": {"type": ["number", "null"]},
    "expectedCloseDate": {"type": ["string", "null"], "anyOf": [{"format": "date-time"}, {"format": "date"}]},
    "companyId": {"type": ["string", "null"], "description": "Id of its c_company"},
    "contactId": {"type": ["string", "null"], "description": "Id of its c_contact"},
    "source": {"type": ["string", "null"], "description": "Where it comes from"},
    "tags": {"type": ["array", "null"], "items": {"type": "string"}}
  }
}'),
('card', '*', 'Card', 'Content collected from one or several sources', 'title', '{title,content,tags}', 'card', true, '{
  "type": "object",
  "additionalProperties": false,
  "required": ["title"],
  "properties": {
    "title": {"type": "string"},
    "card_type": {"type": ["string", "null"], "description": "source where integ collected it"},
    "data": {"description": "What the sources gave"},
    "content": {"type": ["string", "null"], "description": "Markdown, from the template"},
    "source_id": {"type": ["string", "null"], "description": "The source that it was collected from"},
    "tags": {"type": ["array", "null"], "items": {"type": "string"}},
    "api_request": {"type": ["object", "null"], "description": "The request that a refresh repeats; without secrets"},
    "status": {"enum": ["success", "partial", "failed", null]},
    "sources_succeeded": {"type": ["array", "null"], "items": {"type": "string"}},
    "sources_failed": {"type": ["array", "null"], "items": {"type": ["string", "object"]}}
  }
}');
