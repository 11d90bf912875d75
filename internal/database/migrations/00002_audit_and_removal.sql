-- +goose Up

-- Who did what. Rows outlive what they tell of, so nothing is referenced.
CREATE TABLE audit_events (
    id           {{id}},
    created_at   BIGINT NOT NULL,
    name         TEXT NOT NULL,
    project_id   BIGINT, -- one of the two is set, or neither: the server as a whole
    namespace_id BIGINT,
    target       TEXT NOT NULL, -- what it was done to, as people name it
    detail       TEXT NOT NULL,
    user_id      BIGINT,
    token_id     BIGINT,
    token_kind   TEXT NOT NULL,
    author       TEXT NOT NULL,
    address      TEXT NOT NULL
);
CREATE INDEX audit_events_project ON audit_events (project_id, id);
CREATE INDEX audit_events_namespace ON audit_events (namespace_id, id);

ALTER TABLE package_files ADD COLUMN status INTEGER NOT NULL DEFAULT 0;
CREATE INDEX package_files_pending ON package_files (id) WHERE status = 4;
CREATE INDEX packages_pending ON packages (id) WHERE status = 4;

-- +goose Down
DROP INDEX packages_pending;
DROP INDEX package_files_pending;
ALTER TABLE package_files DROP COLUMN status;
DROP TABLE audit_events;
