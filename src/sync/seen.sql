-- What a full run has seen of a list, a row a page: it tells at the end what has disappeared.

CREATE TABLE integ.sync_seen (
    task uuid NOT NULL REFERENCES integ.sync_tasks (id) ON DELETE CASCADE,
    execution uuid NOT NULL,
    source integer NOT NULL,
    gone boolean NOT NULL DEFAULT false,
    page bigint NOT NULL,
    external_ids text[] COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (execution, source, gone, page)
);
CREATE INDEX sync_seen_task_idx ON integ.sync_seen (task, source);
COMMENT ON TABLE integ.sync_seen IS
    'What full runs have seen that have not come to their end, so that they know what has disappeared; not dumped';
COMMENT ON COLUMN integ.sync_seen.task IS 'The task; its next run that begins anew forgets what there is';
COMMENT ON COLUMN integ.sync_seen.execution IS 'The execution that goes on from it, or may be repeated';
COMMENT ON COLUMN integ.sync_seen.source IS 'Position of the source; 0 where the task is its own';
COMMENT ON COLUMN integ.sync_seen.gone IS 'Whether these are the ids that were not seen, and are to be removed';
COMMENT ON COLUMN integ.sync_seen.page IS 'Number of the page';
COMMENT ON COLUMN integ.sync_seen.external_ids IS 'Ids at the service';
COMMENT ON COLUMN integ.sync_seen.created_at IS 'When the page was stored';
ALTER TABLE integ.sync_seen ENABLE ROW LEVEL SECURITY;
