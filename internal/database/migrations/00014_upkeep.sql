-- +goose Up

-- Contents that may be without a row that names them. Triggers note them when such a row goes, whoever removes it; the
-- collector notes what it finds besides. Whether nothing names them is looked at when they are to be removed.
CREATE TABLE garbage (
    sha256       TEXT PRIMARY KEY,
    size         BIGINT NOT NULL,
    since        BIGINT NOT NULL,
    condemned_at BIGINT NOT NULL -- when a collector began to remove it; until the row is gone nobody may count on the content; 0: it is there
);
CREATE INDEX garbage_since ON garbage (since);

-- Work that one node at a time does, or an administrator's command.
CREATE TABLE leases (
    name        TEXT PRIMARY KEY,
    holder      TEXT NOT NULL, -- empty: nobody
    until       BIGINT NOT NULL, -- then, another one may take it over
    finished_at BIGINT NOT NULL, -- of what was done whole last
    progress    TEXT NOT NULL -- where it goes on; empty: at the beginning
);

-- +goose StatementBegin
{{sqlite}}
CREATE TRIGGER package_files_garbage AFTER DELETE ON package_files BEGIN
    INSERT INTO garbage (sha256, size, since, condemned_at) VALUES (OLD.sha256, OLD.size, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), 0)
    ON CONFLICT (sha256) DO UPDATE SET since = excluded.since;
END;
CREATE TRIGGER symbols_garbage AFTER DELETE ON symbols BEGIN
    INSERT INTO garbage (sha256, size, since, condemned_at) VALUES (OLD.sha256, OLD.size, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), 0)
    ON CONFLICT (sha256) DO UPDATE SET since = excluded.since;
END;
{{end_sqlite}}
{{postgres}}
CREATE FUNCTION note_garbage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO garbage (sha256, size, since, condemned_at) VALUES (OLD.sha256, OLD.size, CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT), 0)
    ON CONFLICT (sha256) DO UPDATE SET since = excluded.since;
    RETURN NULL;
END $$;
CREATE TRIGGER package_files_garbage AFTER DELETE ON package_files FOR EACH ROW EXECUTE FUNCTION note_garbage();
CREATE TRIGGER symbols_garbage AFTER DELETE ON symbols FOR EACH ROW EXECUTE FUNCTION note_garbage();
{{end_postgres}}
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER symbols_garbage {{postgres}}ON symbols{{end_postgres}};
DROP TRIGGER package_files_garbage {{postgres}}ON package_files{{end_postgres}};
{{postgres}}DROP FUNCTION note_garbage;{{end_postgres}}
DROP TABLE leases;
DROP TABLE garbage;
