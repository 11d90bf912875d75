-- +goose Up

-- How often a file was downloaded on a day. The days of a file outlive it, those of a package do not; old ones are
-- removed, since the totals are kept beside.
CREATE TABLE downloads (
    package_id BIGINT NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
    day        BIGINT NOT NULL, -- its beginning in UTC
    file_id    BIGINT NOT NULL,
    count      BIGINT NOT NULL,
    PRIMARY KEY (package_id, day, file_id)
);
CREATE INDEX downloads_day ON downloads (day);

ALTER TABLE packages ADD COLUMN download_count BIGINT NOT NULL DEFAULT 0;
ALTER TABLE package_files ADD COLUMN download_count BIGINT NOT NULL DEFAULT 0;

CREATE INDEX packages_newest ON packages (entry_id, created_at DESC, id DESC);

CREATE TABLE cleanup_policies (
    project_id            BIGINT PRIMARY KEY REFERENCES projects (id) ON DELETE CASCADE,
    enabled               BOOLEAN NOT NULL,
    cadence               BIGINT NOT NULL, -- milliseconds
    keep_files            INTEGER NOT NULL, -- this and what follows: 0 or empty is off
    keep_versions         INTEGER NOT NULL,
    older_than            INTEGER NOT NULL, -- days
    not_downloaded_since  INTEGER NOT NULL, -- days
    package_type          TEXT NOT NULL,
    name_pattern          TEXT NOT NULL,
    name_keep_pattern     TEXT NOT NULL,
    version_pattern       TEXT NOT NULL,
    version_keep_pattern  TEXT NOT NULL,
    next_run_at           BIGINT NOT NULL, -- 0: never
    lease                 BIGINT NOT NULL, -- number of the run that may go on; each run has another one
    lease_until           BIGINT NOT NULL, -- 0: no run
    started_at            BIGINT NOT NULL, -- this and what follows: of the last run
    finished_at           BIGINT NOT NULL, -- 0: it is not finished
    packages_removed      BIGINT NOT NULL,
    files_removed         BIGINT NOT NULL,
    bytes_removed         BIGINT NOT NULL,
    error                 TEXT NOT NULL
);
CREATE INDEX cleanup_policies_next_run ON cleanup_policies (next_run_at) WHERE next_run_at <> 0;

-- +goose Down
DROP TABLE cleanup_policies;
DROP INDEX packages_newest;
ALTER TABLE package_files DROP COLUMN download_count;
ALTER TABLE packages DROP COLUMN download_count;
DROP TABLE downloads;
