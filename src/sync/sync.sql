-- Sync: tasks, their executions, and what each left behind.

CREATE TABLE integ.sync_tasks (
    id uuid PRIMARY KEY DEFAULT integ.uuid_generate(),
    task_id text COLLATE "C" NOT NULL,
    name text,
    description text,
    context_type text NOT NULL DEFAULT CASE
        WHEN integ_current_client() = '*' THEN 'global'
        WHEN integ_current_level() IN ('admin', 'superadmin') THEN 'client'
        ELSE 'user' END,
    context_id text COLLATE "C" DEFAULT CASE
        WHEN integ_current_client() = '*' THEN NULL
        WHEN integ_current_level() IN ('admin', 'superadmin') THEN integ_current_client()
        ELSE integ_current_user_id() END,
    client_id text COLLATE "C" NOT NULL DEFAULT integ_current_client(),
    instance uuid REFERENCES integ.instances (id) ON DELETE SET NULL,
    schema uuid REFERENCES integ.conversion_schemas (id) ON DELETE SET NULL,
    entity text COLLATE "C",
    method text COLLATE "C",
    direction text NOT NULL DEFAULT 'pull',
    schedule jsonb NOT NULL DEFAULT '"manual"',
    config jsonb NOT NULL DEFAULT '{}',
    overlap_policy text NOT NULL DEFAULT 'skip',
    catchup_policy text NOT NULL DEFAULT 'one',
    jitter interval NOT NULL DEFAULT '0',
    start_at timestamptz,
    end_at timestamptz,
    status text NOT NULL DEFAULT 'active',
    retry_config jsonb NOT NULL DEFAULT '{"maxRetries": 3, "retryDelaySeconds": 300, "exponentialBackoff": true}',
    notifications jsonb NOT NULL DEFAULT
        '{"onSuccess": false, "onFailure": true, "onPartial": false, "recipients": []}',
    stats jsonb NOT NULL DEFAULT '{}',
    last_run_at timestamptz,
    last_run_status text,
    next_run_at timestamptz,
    last_error jsonb,
    owner regrole NOT NULL DEFAULT pg_catalog.quote_ident(current_user)::pg_catalog.regrole,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_by text NOT NULL DEFAULT current_user,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT sync_tasks_task_id_check
        CHECK (task_id ~ '^[A-Za-z0-9][A-Za-z0-9_.-]*$' AND pg_catalog.length(task_id) <= 255),
    CONSTRAINT sync_tasks_context_check CHECK (
        CASE context_type
            WHEN 'global' THEN client_id = '*' AND context_id IS NULL
            WHEN 'client' THEN client_id <> '*' AND context_id IS NOT NULL AND context_id = client_id
            WHEN 'user' THEN client_id <> '*' AND context_id IS NOT NULL
            ELSE false
        END),
    CONSTRAINT sync_tasks_direction_check CHECK (direction IN ('pull', 'push', 'bidirectional')),
    CONSTRAINT sync_tasks_overlap_policy_check CHECK (overlap_policy IN ('skip', 'queue', 'cancel')),
    CONSTRAINT sync_tasks_catchup_policy_check CHECK (catchup_policy IN ('none', 'one', 'all')),
    CONSTRAINT sync_tasks_jitter_check CHECK (jitter >= interval '0' AND jitter <= interval '7 days'),
    CONSTRAINT sync_tasks_time_check CHECK (pg_catalog.isfinite(start_at) AND pg_catalog.isfinite(end_at)
                                            AND pg_catalog.isfinite(next_run_at) AND start_at < end_at),
    CONSTRAINT sync_tasks_status_check CHECK (status IN ('active', 'paused', 'error', 'disabled')),
    CONSTRAINT sync_tasks_last_run_status_check
        CHECK (last_run_status IN ('success', 'partial', 'failed', 'cancelled', 'skipped')),
    CONSTRAINT sync_tasks_config_check CHECK (pg_catalog.jsonb_typeof(config) = 'object'),
    CONSTRAINT sync_tasks_stats_check CHECK (pg_catalog.jsonb_typeof(stats) = 'object'),
    CONSTRAINT sync_tasks_metadata_check CHECK (pg_catalog.jsonb_typeof(metadata) = 'object'),
    CONSTRAINT sync_tasks_task_id_key UNIQUE NULLS NOT DISTINCT (client_id, context_type, context_id, task_id)
) WITH (fillfactor = 80);
CREATE INDEX sync_tasks_task_id_idx ON integ.sync_tasks (task_id);
CREATE INDEX sync_tasks_due_idx ON integ.sync_tasks (next_run_at, id)
    WHERE status = 'active' AND next_run_at IS NOT NULL;
CREATE INDEX sync_tasks_error_idx ON integ.sync_tasks (id) WHERE status = 'error';
CREATE INDEX sync_tasks_instance_idx ON integ.sync_tasks (instance) WHERE instance IS NOT NULL;
CREATE INDEX sync_tasks_schema_idx ON integ.sync_tasks (schema) WHERE schema IS NOT NULL;
COMMENT ON TABLE integ.sync_tasks IS
    'Sync tasks: what is synchronized, from where to where, and when. Written by INSERT, UPDATE and DELETE; '
    'next_run_at = now() runs a task';
COMMENT ON COLUMN integ.sync_tasks.id IS 'Key that other tables refer to';
COMMENT ON COLUMN integ.sync_tasks.task_id IS
    'Handle that people use; unique per context, and the caller''s own shadows the client''s, then global';
COMMENT ON COLUMN integ.sync_tasks.name IS 'Name for display';
COMMENT ON COLUMN integ.sync_tasks.description IS 'What it is for';
COMMENT ON COLUMN integ.sync_tasks.context_type IS 'Whose it is: global, client, user';
COMMENT ON COLUMN integ.sync_tasks.context_id IS 'The client or user it belongs to; NULL for global';
COMMENT ON COLUMN integ.sync_tasks.client_id IS 'The client it belongs to, also in a user''s context; ''*'' for global';
COMMENT ON COLUMN integ.sync_tasks.instance IS 'The connection; NULL where integ.sync_task_sources names several';
COMMENT ON COLUMN integ.sync_tasks.schema IS 'The conversion schema; NULL where the sources have their own';
COMMENT ON COLUMN integ.sync_tasks.entity IS 'The entity of the service; NULL: the one of the schema';
COMMENT ON COLUMN integ.sync_tasks.method IS 'The method that lists the records; NULL: the one of the entity';
COMMENT ON COLUMN integ.sync_tasks.direction IS 'pull (theirs to ours), push, bidirectional';
COMMENT ON COLUMN integ.sync_tasks.schedule IS
    'When it runs: {"type", "config"}, or short: "manual", {"every": "15 minutes"}, {"cron": "0 2 * * *", '
    '"timezone": "…"}';
COMMENT ON COLUMN integ.sync_tasks.config IS
    'Its configuration: incrementalSync, modifiedSinceField, maxResults, pageSize …, and any key for {{task.key}} '
    'and the method''s input';
COMMENT ON COLUMN integ.sync_tasks.overlap_policy IS
    'What a slot does while an execution has not ended: skip, queue (one waits), cancel (the running one ends)';
COMMENT ON COLUMN integ.sync_tasks.catchup_policy IS
    'What becomes of slots that passed while nothing ran here: none, one (a single run makes up for them), all';
COMMENT ON COLUMN integ.sync_tasks.jitter IS 'A run of the schedule begins up to so much later, at random';
COMMENT ON COLUMN integ.sync_tasks.start_at IS 'No slot of the schedule is before this';
COMMENT ON COLUMN integ.sync_tasks.end_at IS 'No slot of the schedule is at or after this';
COMMENT ON COLUMN integ.sync_tasks.status IS
    'active; paused (by a person); error (it cannot run as it is: see last_error); disabled. Only an active one is '
    'scheduled';
COMMENT ON COLUMN integ.sync_tasks.retry_config IS
    'What follows a failure that may pass: maxRetries, retryDelaySeconds, exponentialBackoff';
COMMENT ON COLUMN integ.sync_tasks.notifications IS
    'Who is told of what: onSuccess, onFailure, onPartial, recipients (user ids; none: the administrators of the '
    'client), endpoint (handle of one that gets them as events, instead of the administrators)';
COMMENT ON COLUMN integ.sync_tasks.stats IS
    'totalRuns, successfulRuns, failedRuns, lastSuccessAt, lastFailureAt, recordsProcessed, recordsCreated, '
    'recordsUpdated, recordsSkipped, recordsFailed';
COMMENT ON COLUMN integ.sync_tasks.last_run_at IS 'When its last run began';
COMMENT ON COLUMN integ.sync_tasks.last_run_status IS 'How its last run ended';
COMMENT ON COLUMN integ.sync_tasks.next_run_at IS
    'When the schedule runs it next; setting it runs the task then, and the schedule goes on from there. NULL: '
    'never by itself';
COMMENT ON COLUMN integ.sync_tasks.last_error IS
    'What went wrong last: message, timestamp, details; NULL after a success';
COMMENT ON COLUMN integ.sync_tasks.owner IS
    'The role with whose rights it runs: the session user of the worker that writes the target';
COMMENT ON COLUMN integ.sync_tasks.metadata IS 'Anything the application wants to keep with it';
COMMENT ON COLUMN integ.sync_tasks.created_by IS 'The role that made it';
COMMENT ON COLUMN integ.sync_tasks.created_at IS 'When it was made';
COMMENT ON COLUMN integ.sync_tasks.updated_at IS 'When a person last changed it';

CREATE TABLE integ.sync_task_sources (
    task uuid NOT NULL REFERENCES integ.sync_tasks (id) ON DELETE CASCADE,
    position integer NOT NULL,
    name text,
    instance uuid NOT NULL REFERENCES integ.instances (id) ON DELETE CASCADE,
    method text COLLATE "C",
    entity text COLLATE "C",
    schema uuid REFERENCES integ.conversion_schemas (id) ON DELETE SET NULL,
    config jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (task, position),
    CONSTRAINT sync_task_sources_position_check CHECK (position >= 1),
    CONSTRAINT sync_task_sources_config_check CHECK (pg_catalog.jsonb_typeof(config) = 'object'),
    CONSTRAINT sync_task_sources_what_check CHECK (method IS NOT NULL OR entity IS NOT NULL OR schema IS NOT NULL)
);
CREATE INDEX sync_task_sources_instance_idx ON integ.sync_task_sources (instance);
CREATE INDEX sync_task_sources_schema_idx ON integ.sync_task_sources (schema) WHERE schema IS NOT NULL;
COMMENT ON TABLE integ.sync_task_sources IS 'The sources of a task that collects several in one run';
COMMENT ON COLUMN integ.sync_task_sources.task IS 'The task';
COMMENT ON COLUMN integ.sync_task_sources.position IS 'Its place among the task''s sources, from 1';
COMMENT ON COLUMN integ.sync_task_sources.name IS 'How results and messages call it; NULL: the handle of the instance';
COMMENT ON COLUMN integ.sync_task_sources.instance IS 'The connection';
COMMENT ON COLUMN integ.sync_task_sources.method IS
    'The method that gives its records; NULL: the one that lists the entity';
COMMENT ON COLUMN integ.sync_task_sources.entity IS 'The entity of the service; NULL: the one of the schema';
COMMENT ON COLUMN integ.sync_task_sources.schema IS 'The conversion schema; NULL: the one of the task';
COMMENT ON COLUMN integ.sync_task_sources.config IS 'Its own configuration, over the task''s';

CREATE TABLE integ.sync_cursors (
    task uuid NOT NULL REFERENCES integ.sync_tasks (id) ON DELETE CASCADE,
    direction text COLLATE "C" NOT NULL,
    entity text COLLATE "C" NOT NULL,
    source integer NOT NULL DEFAULT 0,
    high_water_mark text,
    overlap interval NOT NULL DEFAULT '0',
    page_cursor jsonb,
    delta_token text,
    execution uuid,
    fingerprint bytea,
    target_table regclass,
    full_run_at timestamptz,
    state jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (task, direction, entity, source),
    CONSTRAINT sync_cursors_direction_check CHECK (direction IN ('pull', 'push')),
    CONSTRAINT sync_cursors_state_check CHECK (pg_catalog.jsonb_typeof(state) = 'object')
) WITH (fillfactor = 50);
COMMENT ON TABLE integ.sync_cursors IS
    'How far each task has come: written in the transaction of the page that it stands behind. DELETE a row, and '
    'the next run is a full one';
COMMENT ON COLUMN integ.sync_cursors.task IS 'The task';
COMMENT ON COLUMN integ.sync_cursors.direction IS 'pull or push';
COMMENT ON COLUMN integ.sync_cursors.entity IS 'The entity of the service';
COMMENT ON COLUMN integ.sync_cursors.source IS
    'Position of the source (integ.sync_task_sources); 0 where the task is its own';
COMMENT ON COLUMN integ.sync_cursors.high_water_mark IS
    'The newest modified time that everything is stored up to, as the service writes it';
COMMENT ON COLUMN integ.sync_cursors.overlap IS 'So much before the mark the next run begins';
COMMENT ON COLUMN integ.sync_cursors.page_cursor IS
    'Where an execution goes on that has not ended; NULL between executions';
COMMENT ON COLUMN integ.sync_cursors.delta_token IS 'Token from which the service tells what has changed';
COMMENT ON COLUMN integ.sync_cursors.execution IS 'The execution that the page cursor belongs to';
COMMENT ON COLUMN integ.sync_cursors.fingerprint IS
    'Hash of what the mark and the token were made with: another one means a full run';
COMMENT ON COLUMN integ.sync_cursors.target_table IS
    'The table that has been written so far: another one means a full run; NULL where the target is a record type';
COMMENT ON COLUMN integ.sync_cursors.full_run_at IS 'When the last complete full run began';
COMMENT ON COLUMN integ.sync_cursors.state IS 'What else the run keeps between its pages';
COMMENT ON COLUMN integ.sync_cursors.updated_at IS 'When it was last moved';

-- An execution that has not ended is changed with every page: it stays heap-only.
CREATE TABLE integ.sync_executions_open (
    id uuid PRIMARY KEY DEFAULT integ.uuid_generate(),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    task uuid NOT NULL,
    task_id text COLLATE "C" NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    context_id text COLLATE "C",
    instance uuid,
    owner regrole NOT NULL,
    direction text NOT NULL DEFAULT 'pull',
    trigger text NOT NULL DEFAULT 'manual',
    triggered_by text,
    status text NOT NULL DEFAULT 'queued',
    phase text,
    reason text,
    scheduled_for timestamptz,
    slots bigint NOT NULL DEFAULT 1,
    run_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    started_at timestamptz,
    progressed_at timestamptz,
    retry_of uuid,
    retry_count integer NOT NULL DEFAULT 0,
    dry_run boolean NOT NULL DEFAULT false,
    options jsonb NOT NULL DEFAULT '{}',
    records jsonb,
    pages bigint NOT NULL DEFAULT 0,
    total_records bigint,
    processed_records bigint NOT NULL DEFAULT 0,
    fetched bigint NOT NULL DEFAULT 0,
    created bigint NOT NULL DEFAULT 0,
    updated bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0,
    skipped bigint NOT NULL DEFAULT 0,
    deleted bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    difference jsonb,
    error jsonb,
    lease bigint,
    resumed integer NOT NULL DEFAULT 0,
    stalled integer NOT NULL DEFAULT 0,
    cancel_requested boolean NOT NULL DEFAULT false,
    CONSTRAINT sync_executions_open_trigger_check CHECK (trigger IN ('schedule', 'manual', 'webhook', 'retry')),
    CONSTRAINT sync_executions_open_direction_check CHECK (direction IN ('pull', 'push', 'bidirectional')),
    CONSTRAINT sync_executions_open_status_check CHECK (status IN ('queued', 'running')),
    CONSTRAINT sync_executions_open_lease_check CHECK ((status = 'running') = (lease IS NOT NULL)),
    CONSTRAINT sync_executions_open_phase_check CHECK (phase IN ('fetching', 'transforming', 'saving', 'complete')),
    CONSTRAINT sync_executions_open_time_check CHECK (pg_catalog.isfinite(run_at)),
    CONSTRAINT sync_executions_open_records_check CHECK (pg_catalog.jsonb_typeof(records) = 'array'),
    CONSTRAINT sync_executions_open_options_check CHECK (pg_catalog.jsonb_typeof(options) = 'object')
) WITH (fillfactor = 50);
CREATE INDEX sync_executions_open_queue_idx ON integ.sync_executions_open
    (client_id, (COALESCE(instance, '00000000-0000-0000-0000-000000000000')), run_at, id) WHERE status = 'queued';
CREATE INDEX sync_executions_open_due_idx ON integ.sync_executions_open (run_at, id) WHERE status = 'queued';
CREATE INDEX sync_executions_open_task_idx ON integ.sync_executions_open (task, status, run_at, id);
CREATE INDEX sync_executions_open_cancel_idx ON integ.sync_executions_open (id) WHERE cancel_requested;
CREATE UNIQUE INDEX sync_executions_open_running_key ON integ.sync_executions_open (task) WHERE status = 'running';
COMMENT ON TABLE integ.sync_executions_open IS
    'Executions that wait or run. Made by the scheduler and by integ_sync_run; run_at may be updated here, '
    'cancel_requested ends one';
COMMENT ON COLUMN integ.sync_executions_open.id IS 'The execution; sorts by time';
COMMENT ON COLUMN integ.sync_executions_open.created_at IS 'When it was made';
COMMENT ON COLUMN integ.sync_executions_open.task IS 'Key of its task, which may be gone';
COMMENT ON COLUMN integ.sync_executions_open.task_id IS 'Handle of the task then';
COMMENT ON COLUMN integ.sync_executions_open.client_id IS 'The client of the task; ''*'' for global';
COMMENT ON COLUMN integ.sync_executions_open.context_id IS
    'The client or user that the task belongs to; NULL for global';
COMMENT ON COLUMN integ.sync_executions_open.instance IS 'The connection; NULL where the task has several';
COMMENT ON COLUMN integ.sync_executions_open.owner IS 'The role as which it runs';
COMMENT ON COLUMN integ.sync_executions_open.direction IS 'pull, push, bidirectional';
COMMENT ON COLUMN integ.sync_executions_open.trigger IS 'What asked for it: schedule, manual, webhook, retry';
COMMENT ON COLUMN integ.sync_executions_open.triggered_by IS 'Who asked for it: user or role; NULL: integ by itself';
COMMENT ON COLUMN integ.sync_executions_open.status IS
    'queued, running; ended: success, partial, failed, cancelled, skipped';
COMMENT ON COLUMN integ.sync_executions_open.phase IS 'fetching, transforming, saving, complete';
COMMENT ON COLUMN integ.sync_executions_open.reason IS
    'Why it is what it is: why it was skipped or cancelled, what it waits for';
COMMENT ON COLUMN integ.sync_executions_open.scheduled_for IS 'The slot of the schedule; NULL where none asked for it';
COMMENT ON COLUMN integ.sync_executions_open.slots IS 'How many slots of the schedule it stands for';
COMMENT ON COLUMN integ.sync_executions_open.run_at IS 'When it may begin';
COMMENT ON COLUMN integ.sync_executions_open.started_at IS 'When it first began; NULL: not yet';
COMMENT ON COLUMN integ.sync_executions_open.progressed_at IS 'When its progress was last written';
COMMENT ON COLUMN integ.sync_executions_open.retry_of IS 'The execution that it repeats, or none';
COMMENT ON COLUMN integ.sync_executions_open.retry_count IS 'Which retry it is; 0: none';
COMMENT ON COLUMN integ.sync_executions_open.dry_run IS 'Whether it only shows what it would change';
COMMENT ON COLUMN integ.sync_executions_open.options IS 'How it was asked to run (options of integ_sync_run)';
COMMENT ON COLUMN integ.sync_executions_open.records IS
    'The records that alone it is for: external ids or records; NULL: what the task says';
COMMENT ON COLUMN integ.sync_executions_open.pages IS 'Pages stored';
COMMENT ON COLUMN integ.sync_executions_open.total_records IS 'How many there are, where the service tells';
COMMENT ON COLUMN integ.sync_executions_open.processed_records IS 'How many have been gone through';
COMMENT ON COLUMN integ.sync_executions_open.fetched IS 'Records that came';
COMMENT ON COLUMN integ.sync_executions_open.created IS 'Records that are new here';
COMMENT ON COLUMN integ.sync_executions_open.updated IS 'Records that were changed here';
COMMENT ON COLUMN integ.sync_executions_open.unchanged IS 'Records that were as they had been';
COMMENT ON COLUMN integ.sync_executions_open.skipped IS 'Records that filters or the schema''s settings left out';
COMMENT ON COLUMN integ.sync_executions_open.deleted IS 'Records that were removed here';
COMMENT ON COLUMN integ.sync_executions_open.failed IS 'Records that could not be stored (integ.sync_errors)';
COMMENT ON COLUMN integ.sync_executions_open.difference IS 'Of a dry run: what it would change';
COMMENT ON COLUMN integ.sync_executions_open.error IS 'What ended it: sqlstate, message, detail, hint';
COMMENT ON COLUMN integ.sync_executions_open.lease IS 'The worker that runs it: one number a process';
COMMENT ON COLUMN integ.sync_executions_open.resumed IS 'How often it went on after its worker had ended';
COMMENT ON COLUMN integ.sync_executions_open.stalled IS
    'How often in a row its worker ended before it had stored anything';
COMMENT ON COLUMN integ.sync_executions_open.cancel_requested IS
    'It is to end as soon as it can, and keeps what it has stored';

CREATE TABLE integ.sync_executions_done (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    task uuid NOT NULL,
    task_id text COLLATE "C" NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    context_id text COLLATE "C",
    instance uuid,
    owner regrole NOT NULL,
    direction text NOT NULL,
    trigger text NOT NULL,
    triggered_by text,
    status text NOT NULL,
    phase text,
    reason text,
    scheduled_for timestamptz,
    slots bigint NOT NULL,
    run_at timestamptz NOT NULL,
    started_at timestamptz,
    completed_at timestamptz NOT NULL,
    duration interval,
    retry_of uuid,
    retry_count integer NOT NULL,
    dry_run boolean NOT NULL,
    options jsonb NOT NULL,
    records jsonb,
    pages bigint NOT NULL,
    total_records bigint,
    processed_records bigint NOT NULL,
    fetched bigint NOT NULL,
    created bigint NOT NULL,
    updated bigint NOT NULL,
    unchanged bigint NOT NULL,
    skipped bigint NOT NULL,
    deleted bigint NOT NULL,
    failed bigint NOT NULL,
    difference jsonb,
    error jsonb,
    resumed integer NOT NULL,
    PRIMARY KEY (id, created_at),
    CONSTRAINT sync_executions_done_status_check
        CHECK (status IN ('success', 'partial', 'failed', 'cancelled', 'skipped'))
) PARTITION BY RANGE (created_at);
CREATE INDEX sync_executions_done_task_idx ON integ.sync_executions_done (task, created_at);
CREATE INDEX sync_executions_done_client_idx ON integ.sync_executions_done (client_id, created_at);
CREATE TABLE integ.sync_executions_done_default PARTITION OF integ.sync_executions_done DEFAULT;
COMMENT ON TABLE integ.sync_executions_done_default IS
    'Executions of days that have no partition; emptied when theirs is made';
COMMENT ON TABLE integ.sync_executions_done IS
    'Executions that have ended or were skipped: history by the day they were made, kept for integ.sync_retention days';

CREATE VIEW integ.sync_executions WITH (security_invoker = true) AS
SELECT id, task, task_id, status, phase, reason, trigger, triggered_by, client_id, context_id, instance, owner,
       direction, scheduled_for, slots, run_at, started_at, NULL::timestamptz AS completed_at,
       pg_catalog.clock_timestamp() - started_at AS duration,
       total_records, processed_records,
       CASE WHEN phase = 'complete' THEN 100
            WHEN total_records > 0
            THEN pg_catalog.round(least(100.0 * processed_records / total_records, 100), 1) END AS percentage,
       pg_catalog.round(processed_records / nullif(extract(epoch FROM progressed_at - started_at), 0), 1) AS rate,
       progressed_at + (progressed_at - started_at) * (1.0 * (total_records - processed_records)
           / nullif(processed_records, 0))::float8 AS estimated_end,
       pages, fetched, created, updated, unchanged, skipped, deleted, failed,
       error, retry_of, retry_count, resumed, dry_run, difference, records, options, cancel_requested, created_at
FROM integ.sync_executions_open
UNION ALL
SELECT id, task, task_id, status, phase, reason, trigger, triggered_by, client_id, context_id, instance, owner,
       direction, scheduled_for, slots, run_at, started_at, completed_at, duration,
       total_records, processed_records,
       CASE WHEN phase = 'complete' THEN 100
            WHEN total_records > 0
            THEN pg_catalog.round(least(100.0 * processed_records / total_records, 100), 1) END AS percentage,
       pg_catalog.round(processed_records / nullif(extract(epoch FROM duration), 0), 1), NULL::timestamptz,
       pages, fetched, created, updated, unchanged, skipped, deleted, failed,
       error, retry_of, retry_count, resumed, dry_run, difference, records, options, false, created_at
FROM integ.sync_executions_done;
COMMENT ON VIEW integ.sync_executions IS
    'Every execution of a sync task, open and ended: each slot of a schedule leaves one';

DO $$
DECLARE
    target record;
BEGIN
    FOR target IN
        SELECT a.attrelid::pg_catalog.regclass AS name, a.attname, o.description
        FROM pg_catalog.pg_attribute a
        LEFT JOIN LATERAL (
            SELECT pg_catalog.col_description(c.attrelid, c.attnum) AS description FROM pg_catalog.pg_attribute c
            WHERE c.attrelid = 'integ.sync_executions_open'::pg_catalog.regclass AND c.attname = a.attname) o ON true
        WHERE a.attnum > 0 AND a.attrelid IN ('integ.sync_executions_done'::pg_catalog.regclass,
                                              'integ.sync_executions'::pg_catalog.regclass)
    LOOP
        EXECUTE pg_catalog.format('COMMENT ON COLUMN %s.%I IS %L', target.name, target.attname,
            CASE target.attname WHEN 'completed_at' THEN 'When it ended; NULL: not yet'
                                WHEN 'duration' THEN 'How long it took, or has taken so far'
                                WHEN 'percentage' THEN 'Of the total; NULL where that is not known'
                                WHEN 'rate' THEN 'Records a second'
                                WHEN 'estimated_end' THEN
                                    'When it will have ended at this rate; NULL where that is not known, or it has'
                                ELSE target.description END);
    END LOOP;
END
$$;

CREATE VIEW integ.sync_progress WITH (security_invoker = true) AS
SELECT e.id AS execution, e.task, e.task_id, e.status, e.phase, e.started_at, e.progressed_at, e.pages,
       e.total_records, e.processed_records, r.percentage, pg_catalog.round(r.rate, 1) AS rate,
       CASE WHEN r.rate > 0 AND e.total_records >= e.processed_records
            THEN e.progressed_at + (e.total_records - e.processed_records) / r.rate * interval '1 second'
       END AS estimated_end,
       e.fetched, e.created, e.updated, e.unchanged, e.skipped, e.deleted, e.failed, e.reason, e.client_id, e.instance
FROM integ.sync_executions_open e
CROSS JOIN LATERAL (
    SELECT CASE WHEN e.phase = 'complete' THEN 100
                WHEN e.total_records > 0
                THEN pg_catalog.round(least(100.0 * e.processed_records / e.total_records, 100), 1) END AS percentage,
           CASE WHEN e.progressed_at > e.started_at
                THEN e.processed_records / extract(epoch FROM e.progressed_at - e.started_at) END AS rate) r;
COMMENT ON VIEW integ.sync_progress IS 'Executions that wait or run, and how far each has come';
COMMENT ON COLUMN integ.sync_progress.execution IS 'The execution';
COMMENT ON COLUMN integ.sync_progress.task IS 'Key of its task';
COMMENT ON COLUMN integ.sync_progress.task_id IS 'Handle of the task';
COMMENT ON COLUMN integ.sync_progress.status IS 'queued or running';
COMMENT ON COLUMN integ.sync_progress.phase IS 'fetching, transforming, saving, complete';
COMMENT ON COLUMN integ.sync_progress.started_at IS 'When it began';
COMMENT ON COLUMN integ.sync_progress.progressed_at IS 'When its progress was last written';
COMMENT ON COLUMN integ.sync_progress.pages IS 'Pages stored';
COMMENT ON COLUMN integ.sync_progress.total_records IS 'How many records there are, where the service tells';
COMMENT ON COLUMN integ.sync_progress.processed_records IS 'How many have been gone through';
COMMENT ON COLUMN integ.sync_progress.percentage IS 'Of the total; NULL where that is not known';
COMMENT ON COLUMN integ.sync_progress.rate IS 'Records a second since it began';
COMMENT ON COLUMN integ.sync_progress.estimated_end IS
    'When it will have ended at this rate; NULL where the total is not known';
COMMENT ON COLUMN integ.sync_progress.fetched IS 'Records that came';
COMMENT ON COLUMN integ.sync_progress.created IS 'Records that are new here';
COMMENT ON COLUMN integ.sync_progress.updated IS 'Records that were changed here';
COMMENT ON COLUMN integ.sync_progress.unchanged IS 'Records that were as they had been';
COMMENT ON COLUMN integ.sync_progress.skipped IS 'Records that filters or the schema''s settings left out';
COMMENT ON COLUMN integ.sync_progress.deleted IS 'Records that were removed here';
COMMENT ON COLUMN integ.sync_progress.failed IS 'Records that could not be stored';
COMMENT ON COLUMN integ.sync_progress.reason IS 'What it waits for, where it does';
COMMENT ON COLUMN integ.sync_progress.client_id IS 'The client of the task; ''*'' for global';
COMMENT ON COLUMN integ.sync_progress.instance IS 'The connection';

CREATE TABLE integ.sync_errors (
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 100),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    execution uuid NOT NULL,
    task uuid NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    context_id text COLLATE "C",
    instance uuid,
    phase text NOT NULL,
    record_id text,
    external_type text COLLATE "C",
    external_id text COLLATE "C",
    field text,
    sqlstate text,
    reason text NOT NULL,
    details jsonb,
    recoverable boolean NOT NULL DEFAULT false,
    raw_record jsonb,
    PRIMARY KEY (id, created_at),
    CONSTRAINT sync_errors_phase_check CHECK (phase IN ('fetching', 'transforming', 'saving', 'complete'))
) PARTITION BY RANGE (created_at);
CREATE INDEX sync_errors_execution_idx ON integ.sync_errors (execution);
CREATE INDEX sync_errors_task_idx ON integ.sync_errors (task, created_at);
CREATE TABLE integ.sync_errors_default PARTITION OF integ.sync_errors DEFAULT;
COMMENT ON TABLE integ.sync_errors_default IS 'Errors of days that have no partition; emptied when theirs is made';
COMMENT ON TABLE integ.sync_errors IS
    'Records that an execution could not store, one row each field that was wrong; kept for integ.sync_retention days';
COMMENT ON COLUMN integ.sync_errors.id IS 'Number of the line';
COMMENT ON COLUMN integ.sync_errors.created_at IS 'When it happened';
COMMENT ON COLUMN integ.sync_errors.execution IS 'The execution';
COMMENT ON COLUMN integ.sync_errors.task IS 'Key of its task';
COMMENT ON COLUMN integ.sync_errors.client_id IS 'The client of the task; ''*'' for global';
COMMENT ON COLUMN integ.sync_errors.context_id IS 'The client or user that the task belongs to; NULL for global';
COMMENT ON COLUMN integ.sync_errors.instance IS 'The connection';
COMMENT ON COLUMN integ.sync_errors.phase IS 'fetching, transforming, saving, complete';
COMMENT ON COLUMN integ.sync_errors.record_id IS 'The local record or the key of the local row, where there is one';
COMMENT ON COLUMN integ.sync_errors.external_type IS 'The entity, as the service calls it';
COMMENT ON COLUMN integ.sync_errors.external_id IS 'The id at the service, where the record has one';
COMMENT ON COLUMN integ.sync_errors.field IS 'The field or column concerned; NULL: the record as a whole';
COMMENT ON COLUMN integ.sync_errors.sqlstate IS 'SQLSTATE, where a statement failed';
COMMENT ON COLUMN integ.sync_errors.reason IS 'What is wrong with it';
COMMENT ON COLUMN integ.sync_errors.details IS 'More about it';
COMMENT ON COLUMN integ.sync_errors.recoverable IS 'Whether the same record may be stored later';
COMMENT ON COLUMN integ.sync_errors.raw_record IS 'The record as it came; NULL where it is too big to be kept';

CREATE TABLE integ.sync_logs (
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 100),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    execution uuid NOT NULL,
    task uuid NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    context_id text COLLATE "C",
    level text NOT NULL,
    message text NOT NULL,
    data jsonb,
    PRIMARY KEY (id, created_at),
    CONSTRAINT sync_logs_level_check CHECK (level IN ('debug', 'info', 'warn', 'error'))
) PARTITION BY RANGE (created_at);
CREATE INDEX sync_logs_execution_idx ON integ.sync_logs (execution);
CREATE TABLE integ.sync_logs_default PARTITION OF integ.sync_logs DEFAULT;
COMMENT ON TABLE integ.sync_logs_default IS 'Lines of days that have no partition; emptied when theirs is made';
COMMENT ON TABLE integ.sync_logs IS 'What executions tell of themselves; kept for integ.sync_retention days';
COMMENT ON COLUMN integ.sync_logs.id IS 'Number of the line';
COMMENT ON COLUMN integ.sync_logs.created_at IS 'When it was written';
COMMENT ON COLUMN integ.sync_logs.execution IS 'The execution';
COMMENT ON COLUMN integ.sync_logs.task IS 'Key of its task';
COMMENT ON COLUMN integ.sync_logs.client_id IS 'The client of the task; ''*'' for global';
COMMENT ON COLUMN integ.sync_logs.context_id IS 'The client or user that the task belongs to; NULL for global';
COMMENT ON COLUMN integ.sync_logs.level IS 'debug, info, warn, error';
COMMENT ON COLUMN integ.sync_logs.message IS 'What happened';
COMMENT ON COLUMN integ.sync_logs.data IS 'More about it, without secrets';

CREATE TABLE integ.sync_conflicts (
    id uuid PRIMARY KEY DEFAULT integ.uuid_generate(),
    execution uuid NOT NULL,
    task uuid NOT NULL REFERENCES integ.sync_tasks (id) ON DELETE CASCADE,
    client_id text COLLATE "C" NOT NULL,
    context_id text COLLATE "C",
    instance uuid,
    external_type text COLLATE "C",
    external_id text COLLATE "C" NOT NULL,
    record uuid,
    target_table regclass,
    target_key jsonb,
    external_data jsonb NOT NULL,
    local_data jsonb NOT NULL,
    conflicting_fields jsonb NOT NULL DEFAULT '[]',
    status text NOT NULL DEFAULT 'pending',
    resolution jsonb,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    CONSTRAINT sync_conflicts_status_check CHECK (status IN ('pending', 'resolved', 'ignored')),
    CONSTRAINT sync_conflicts_fields_check CHECK (pg_catalog.jsonb_typeof(conflicting_fields) = 'array'),
    CONSTRAINT sync_conflicts_resolution_check CHECK (pg_catalog.jsonb_typeof(resolution) = 'object')
);
CREATE INDEX sync_conflicts_task_idx ON integ.sync_conflicts (task, status, created_at);
COMMENT ON TABLE integ.sync_conflicts IS 'Records that both sides have changed, and what was decided';
COMMENT ON COLUMN integ.sync_conflicts.id IS 'The conflict; sorts by time';
COMMENT ON COLUMN integ.sync_conflicts.execution IS 'The execution that found it';
COMMENT ON COLUMN integ.sync_conflicts.task IS 'Its task';
COMMENT ON COLUMN integ.sync_conflicts.client_id IS 'The client of the task; ''*'' for global';
COMMENT ON COLUMN integ.sync_conflicts.context_id IS 'The client or user that the task belongs to; NULL for global';
COMMENT ON COLUMN integ.sync_conflicts.instance IS 'The connection';
COMMENT ON COLUMN integ.sync_conflicts.external_type IS 'The entity, as the service calls it';
COMMENT ON COLUMN integ.sync_conflicts.external_id IS 'The id at the service';
COMMENT ON COLUMN integ.sync_conflicts.record IS 'The local record; NULL where the target is a table';
COMMENT ON COLUMN integ.sync_conflicts.target_table IS 'The table of the local row; NULL where the target is a record';
COMMENT ON COLUMN integ.sync_conflicts.target_key IS 'The key of the local row, by column';
COMMENT ON COLUMN integ.sync_conflicts.external_data IS 'What the service has';
COMMENT ON COLUMN integ.sync_conflicts.local_data IS 'What is here';
COMMENT ON COLUMN integ.sync_conflicts.conflicting_fields IS
    'field, externalValue, localValue, externalModifiedAt, localModifiedAt of each';
COMMENT ON COLUMN integ.sync_conflicts.status IS 'pending, resolved, ignored';
COMMENT ON COLUMN integ.sync_conflicts.resolution IS 'strategy, resolvedBy, resolvedAt, finalData';
COMMENT ON COLUMN integ.sync_conflicts.created_at IS 'When it was found';

-- --- who sees and writes what ---

ALTER TABLE integ.sync_tasks ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.sync_task_sources ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.sync_cursors ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.sync_executions_open ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.sync_executions_done ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.sync_executions_done_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.sync_errors ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.sync_errors_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.sync_logs ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.sync_logs_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.sync_conflicts ENABLE ROW LEVEL SECURITY;

CREATE POLICY sync_tasks_read ON integ.sync_tasks FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND (context_type = 'client' OR context_id = (SELECT integ_current_user_id())
            OR (SELECT integ_current_level()) = 'admin')
    OR context_type = 'global' AND (SELECT integ_current_client()) IS NOT NULL);
-- A user's own tasks go with a user's own instances: where the client allows those.
CREATE POLICY sync_tasks_write ON integ.sync_tasks
    USING ((SELECT integ_current_level()) = 'superadmin'
        OR client_id = (SELECT integ_current_client())
           AND ((SELECT integ_current_level()) = 'admin'
                OR context_type = 'user' AND context_id = (SELECT integ_current_user_id())
                   AND (SELECT c.allows_user_instances FROM integ.clients c
                        WHERE c.id = (SELECT integ_current_client()))))
    WITH CHECK (((SELECT integ_current_level()) = 'superadmin'
        OR client_id = (SELECT integ_current_client())
           AND ((SELECT integ_current_level()) = 'admin'
                OR context_type = 'user' AND context_id = (SELECT integ_current_user_id())
                   AND (SELECT c.allows_user_instances FROM integ.clients c
                        WHERE c.id = (SELECT integ_current_client()))))
        AND (instance IS NULL OR EXISTS (SELECT FROM integ.instances i WHERE i.id = sync_tasks.instance))
        AND (schema IS NULL OR EXISTS (SELECT FROM integ.conversion_schemas s WHERE s.id = sync_tasks.schema)));
-- Sources and cursors are read with their task, and written by whoever may write that.
CREATE POLICY sync_task_sources_read ON integ.sync_task_sources FOR SELECT USING (
    EXISTS (SELECT FROM integ.sync_tasks t WHERE t.id = sync_task_sources.task));
CREATE POLICY sync_task_sources_write ON integ.sync_task_sources USING (
    EXISTS (SELECT FROM integ.sync_tasks t WHERE t.id = sync_task_sources.task AND (
        (SELECT integ_current_level()) = 'superadmin'
        OR t.client_id = (SELECT integ_current_client())
           AND ((SELECT integ_current_level()) = 'admin'
                OR t.context_type = 'user' AND t.context_id = (SELECT integ_current_user_id()))))
    AND EXISTS (SELECT FROM integ.instances i WHERE i.id = sync_task_sources.instance)
    AND (schema IS NULL OR EXISTS (SELECT FROM integ.conversion_schemas s WHERE s.id = sync_task_sources.schema)));
CREATE POLICY sync_cursors_read ON integ.sync_cursors FOR SELECT USING (
    EXISTS (SELECT FROM integ.sync_tasks t WHERE t.id = sync_cursors.task));
CREATE POLICY sync_cursors_write ON integ.sync_cursors USING (
    EXISTS (SELECT FROM integ.sync_tasks t WHERE t.id = sync_cursors.task AND (
        (SELECT integ_current_level()) = 'superadmin'
        OR t.client_id = (SELECT integ_current_client())
           AND ((SELECT integ_current_level()) = 'admin'
                OR t.context_type = 'user' AND t.context_id = (SELECT integ_current_user_id())))));

-- History outlives its task: each row says whose it is. context_id is the client's id, or the user's, or NULL for
-- global.
DO $$
DECLARE
    history text;
BEGIN
    FOREACH history IN ARRAY ARRAY['sync_executions_open', 'sync_executions_done', 'sync_errors', 'sync_logs',
                                   'sync_conflicts']
    LOOP
        EXECUTE pg_catalog.format(
            'CREATE POLICY %I ON integ.%I FOR SELECT USING ('
            ' (SELECT integ_current_level()) = ''superadmin'''
            ' OR client_id = (SELECT integ_current_client())'
            '    AND (context_id = client_id OR context_id = (SELECT integ_current_user_id())'
            '         OR (SELECT integ_current_level()) = ''admin'')'
            ' OR context_id IS NULL AND (SELECT integ_current_client()) IS NOT NULL)', history || '_read', history);
    END LOOP;
END
$$;
CREATE POLICY sync_executions_open_steer ON integ.sync_executions_open FOR UPDATE USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND ((SELECT integ_current_level()) = 'admin' OR context_id = (SELECT integ_current_user_id())));

GRANT SELECT ON integ.sync_tasks, integ.sync_task_sources, integ.sync_cursors, integ.sync_executions_open,
    integ.sync_executions_done, integ.sync_executions, integ.sync_progress, integ.sync_errors, integ.sync_logs,
    integ.sync_conflicts TO integ_user;
GRANT INSERT (id, task_id, name, description, context_type, context_id, client_id, instance, schema, entity, method,
              direction, schedule, config, overlap_policy, catchup_policy, jitter, start_at, end_at, status,
              retry_config, notifications, next_run_at, owner, metadata),
      UPDATE (task_id, name, description, context_type, context_id, client_id, instance, schema, entity, method,
              direction, schedule, config, overlap_policy, catchup_policy, jitter, start_at, end_at, status,
              retry_config, notifications, next_run_at, owner, metadata),
      DELETE ON integ.sync_tasks TO integ_user;
GRANT INSERT, UPDATE, DELETE ON integ.sync_task_sources TO integ_user;
GRANT DELETE ON integ.sync_cursors TO integ_user;
GRANT UPDATE (run_at, cancel_requested) ON integ.sync_executions_open TO integ_user;

-- --- what follows from a change ---

CREATE FUNCTION integ.tg_sync_task_check() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_sync_task_check';
COMMENT ON FUNCTION integ.tg_sync_task_check() IS
    'Checks a task as a row, and says when it runs next; lets nobody give away what runs with another''s rights';
CREATE TRIGGER sync_tasks_check BEFORE INSERT OR UPDATE ON integ.sync_tasks
    FOR EACH ROW EXECUTE FUNCTION integ.tg_sync_task_check();

CREATE FUNCTION integ.tg_sync_task_changed() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_sync_task_changed';
COMMENT ON FUNCTION integ.tg_sync_task_changed() IS 'Ends what waits or runs of a task that is not to run any more';
CREATE TRIGGER sync_tasks_changed AFTER UPDATE OR DELETE ON integ.sync_tasks
    FOR EACH ROW EXECUTE FUNCTION integ.tg_sync_task_changed();
ALTER TABLE integ.sync_tasks ENABLE ALWAYS TRIGGER sync_tasks_changed;

CREATE FUNCTION integ.tg_sync_wake() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_sync_wake';
COMMENT ON FUNCTION integ.tg_sync_wake() IS 'Has the keeper look for what is due when the transaction commits';
CREATE TRIGGER sync_tasks_wake AFTER INSERT OR UPDATE OR DELETE ON integ.sync_tasks
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_sync_wake('tasks');
ALTER TABLE integ.sync_tasks ENABLE ALWAYS TRIGGER sync_tasks_wake;
-- Not with the progress of every page.
CREATE TRIGGER sync_executions_open_wake
    AFTER INSERT OR UPDATE OF run_at, cancel_requested ON integ.sync_executions_open
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_sync_wake();
ALTER TABLE integ.sync_executions_open ENABLE ALWAYS TRIGGER sync_executions_open_wake;

-- --- functions ---

CREATE FUNCTION integ.sync_execution_store(asked jsonb) RETURNS jsonb
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_sync_execution_store';
COMMENT ON FUNCTION integ.sync_execution_store(jsonb) IS
    'Stores an execution that is asked for; for integ''s own worker';

CREATE FUNCTION integ.sync_schedule(at timestamptz DEFAULT pg_catalog.clock_timestamp()) RETURNS timestamptz
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_sync_schedule';
COMMENT ON FUNCTION integ.sync_schedule(timestamptz) IS
    'Makes the executions that are due at a time, as the keeper does by itself, and says when the next is';
GRANT EXECUTE ON FUNCTION integ.sync_schedule(timestamptz) TO integ_superadmin;

CREATE FUNCTION integ.sync_records(task uuid, records jsonb) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_sync_records_sql';
COMMENT ON FUNCTION integ.sync_records(uuid, jsonb) IS
    'Has the named records of a task synchronized once this transaction has committed: external ids or records; '
    'what waits already takes them along';
GRANT EXECUTE ON FUNCTION integ.sync_records(uuid, jsonb) TO integ_superadmin;

CREATE FUNCTION integ_sync_run(task text, wait boolean DEFAULT false, dry_run boolean DEFAULT false,
                               options jsonb DEFAULT '{}')
RETURNS integ.sync_executions
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 10000 AS 'MODULE_PATHNAME', 'integ_sync_run';
COMMENT ON FUNCTION integ_sync_run(text, boolean, boolean, jsonb) IS
    'Runs a sync task now (handle or id), whatever becomes of this transaction, and returns its execution; wait: '
    'once it has ended. A dry run shows what would change. Options: timeout, full, records, maxDeletePercent';

CREATE FUNCTION integ_sync_retry(execution uuid, records text DEFAULT 'all', wait boolean DEFAULT false)
RETURNS integ.sync_executions
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 10000 AS 'MODULE_PATHNAME', 'integ_sync_retry';
COMMENT ON FUNCTION integ_sync_retry(uuid, text, boolean) IS
    'Repeats an execution that has ended: all of it, or its failed_records; returns the new one';

CREATE FUNCTION integ_sync_cancel(execution uuid) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE COST 100 AS 'MODULE_PATHNAME', 'integ_sync_cancel';
COMMENT ON FUNCTION integ_sync_cancel(uuid) IS
    'Ends an execution once this transaction has committed, and says what it was: queued, or running (it keeps the '
    'pages it has stored)';

CREATE FUNCTION integ_sync_pause(task text) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE COST 100 AS 'MODULE_PATHNAME', 'integ_sync_pause';
COMMENT ON FUNCTION integ_sync_pause(text) IS
    'Pauses a task: it is not scheduled, and what waits or runs of it ends as cancelled';

CREATE FUNCTION integ_sync_resume(task text) RETURNS timestamptz
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE COST 100 AS 'MODULE_PATHNAME', 'integ_sync_resume';
COMMENT ON FUNCTION integ_sync_resume(text) IS
    'Makes a task active again that is paused, disabled or in error, and returns when its schedule runs it next';

GRANT EXECUTE ON FUNCTION integ_sync_run(text, boolean, boolean, jsonb), integ_sync_retry(uuid, text, boolean),
    integ_sync_cancel(uuid), integ_sync_pause(text), integ_sync_resume(text) TO integ_user, integ_impersonate;

SELECT pg_catalog.pg_extension_config_dump('integ.sync_tasks', '');
SELECT pg_catalog.pg_extension_config_dump('integ.sync_task_sources', '');
SELECT pg_catalog.pg_extension_config_dump('integ.sync_cursors', '');
SELECT pg_catalog.pg_extension_config_dump('integ.sync_executions_open', '');
SELECT pg_catalog.pg_extension_config_dump('integ.sync_conflicts', '');
