-- +goose Up

-- Git repositories that follow one elsewhere.
CREATE TABLE mirrors (
    project_id   BIGINT PRIMARY KEY REFERENCES projects (id) ON DELETE CASCADE,
    enabled      BOOLEAN NOT NULL,
    url          TEXT NOT NULL,
    username     TEXT NOT NULL,
    password     TEXT NOT NULL, -- as the remote wants it
    user_id      BIGINT REFERENCES users (id) ON DELETE SET NULL, -- who set it up
    next_at      BIGINT NOT NULL, -- 0: never
    lease        BIGINT NOT NULL, -- number of the fetch that may go on; each has another one
    lease_until  BIGINT NOT NULL, -- 0: no fetch
    started_at   BIGINT NOT NULL, -- this and what follows: of the last fetch
    ended_at     BIGINT NOT NULL, -- 0: it has not ended
    succeeded_at BIGINT NOT NULL, -- the end of the last one that did
    error        TEXT NOT NULL
);
CREATE INDEX mirrors_next ON mirrors (next_at) WHERE next_at <> 0;

-- Projects that are gone and whose repository may still be there: what is not in the database has none to take along. Only what
-- is named here is removed, so that a server with a wrong database removes nothing.
CREATE TABLE removed_projects (
    project_id BIGINT PRIMARY KEY
);
-- +goose StatementBegin
{{sqlite}}
CREATE TRIGGER projects_removed AFTER DELETE ON projects BEGIN
    INSERT INTO removed_projects (project_id) VALUES (OLD.id);
END;
{{end_sqlite}}
{{postgres}}
CREATE FUNCTION note_removed_project() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO removed_projects (project_id) VALUES (OLD.id);
    RETURN NULL;
END $$;
CREATE TRIGGER projects_removed AFTER DELETE ON projects FOR EACH ROW EXECUTE FUNCTION note_removed_project();
{{end_postgres}}
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
{{sqlite}} DROP TRIGGER projects_removed; {{end_sqlite}}
{{postgres}}
DROP TRIGGER projects_removed ON projects;
DROP FUNCTION note_removed_project;
{{end_postgres}}
-- +goose StatementEnd
DROP TABLE removed_projects;
DROP TABLE mirrors;
