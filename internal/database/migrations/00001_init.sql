-- Tokens in braces differ between SQLite and PostgreSQL; see migrate.go. Times are Unix milliseconds, 0 is never.

-- +goose Up
CREATE TABLE revisions (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO revisions (name, value) VALUES ('access', 1);

CREATE TABLE users (
    id            {{id}},
    username      TEXT NOT NULL,
    username_key  TEXT NOT NULL UNIQUE, -- lower case
    name          TEXT NOT NULL,
    email         TEXT NOT NULL,
    email_key     TEXT UNIQUE, -- lower case; NULL: none
    password_hash TEXT NOT NULL,
    admin         BOOLEAN NOT NULL,
    external      BOOLEAN NOT NULL,
    bot           BOOLEAN NOT NULL,
    blocked       BOOLEAN NOT NULL,
    created_at    BIGINT NOT NULL
);

CREATE TABLE namespaces (
    id          {{id}},
    parent_id   BIGINT REFERENCES namespaces (id),
    owner_id    BIGINT REFERENCES users (id), -- of a personal namespace
    name        TEXT NOT NULL,
    path        TEXT NOT NULL,
    full_path   TEXT NOT NULL,
    description TEXT NOT NULL,
    visibility  TEXT NOT NULL,
    lineage     TEXT NOT NULL, -- /1/7/12/: ids from the top down to this one
    created_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX namespaces_owner ON namespaces (owner_id) WHERE owner_id IS NOT NULL;
CREATE INDEX namespaces_parent ON namespaces (parent_id);
CREATE INDEX namespaces_lineage ON namespaces (lineage {{prefix_search}});

CREATE TABLE projects (
    id              {{id}},
    namespace_id    BIGINT NOT NULL REFERENCES namespaces (id),
    creator_id      BIGINT REFERENCES users (id),
    name            TEXT NOT NULL,
    path            TEXT NOT NULL,
    full_path       TEXT NOT NULL,
    description     TEXT NOT NULL,
    visibility      TEXT NOT NULL,
    registry_access TEXT NOT NULL,
    archived        BOOLEAN NOT NULL,
    lineage         TEXT NOT NULL, -- of its namespace
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL
);
CREATE INDEX projects_namespace ON projects (namespace_id);
CREATE INDEX projects_lineage ON projects (lineage {{prefix_search}});

-- Groups and projects share one space of paths.
CREATE TABLE routes (
    path         TEXT PRIMARY KEY, -- full path, lower case
    namespace_id BIGINT REFERENCES namespaces (id) ON DELETE CASCADE,
    project_id   BIGINT REFERENCES projects (id) ON DELETE CASCADE
);

CREATE TABLE members (
    user_id      BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    namespace_id BIGINT REFERENCES namespaces (id) ON DELETE CASCADE,
    project_id   BIGINT REFERENCES projects (id) ON DELETE CASCADE,
    level        INTEGER NOT NULL,
    expires_at   BIGINT NOT NULL,
    created_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX members_namespace ON members (user_id, namespace_id) WHERE namespace_id IS NOT NULL;
CREATE UNIQUE INDEX members_project ON members (user_id, project_id) WHERE project_id IS NOT NULL;
CREATE INDEX members_of_namespace ON members (namespace_id);
CREATE INDEX members_of_project ON members (project_id);

CREATE TABLE pipelines (
    id         {{id}},
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    user_id    BIGINT REFERENCES users (id) ON DELETE SET NULL,
    ref        TEXT NOT NULL,
    sha        TEXT NOT NULL,
    source     TEXT NOT NULL,
    web_url    TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX pipelines_project ON pipelines (project_id);

CREATE TABLE tokens (
    id           {{id}},
    kind         TEXT NOT NULL,
    name         TEXT NOT NULL,
    description  TEXT NOT NULL,
    username     TEXT NOT NULL,
    user_id      BIGINT REFERENCES users (id) ON DELETE CASCADE,
    namespace_id BIGINT REFERENCES namespaces (id) ON DELETE CASCADE,
    project_id   BIGINT REFERENCES projects (id) ON DELETE CASCADE,
    pipeline_id  BIGINT REFERENCES pipelines (id) ON DELETE CASCADE,
    scopes       TEXT NOT NULL, -- space-separated
    hash         {{bytes}} NOT NULL UNIQUE, -- SHA-256 of the text
    revoked      BOOLEAN NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);
CREATE INDEX tokens_user ON tokens (user_id);
CREATE INDEX tokens_namespace ON tokens (namespace_id);
CREATE INDEX tokens_project ON tokens (project_id);
CREATE INDEX tokens_pipeline ON tokens (pipeline_id);

CREATE TABLE logins (
    hash       {{bytes}} PRIMARY KEY, -- SHA-256 of the secret in the URL
    user_id    BIGINT REFERENCES users (id) ON DELETE CASCADE,
    address    TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- A row stays when its last version is gone, so that a revision never comes twice.
CREATE TABLE entries (
    id         {{id}},
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    type       TEXT NOT NULL,
    name       TEXT NOT NULL, -- canonical spelling of the format
    revision   BIGINT NOT NULL,
    latest_id  BIGINT NOT NULL, -- package; 0: none
    search     TEXT NOT NULL, -- of the latest package
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX entries_name ON entries (type, name, project_id);
CREATE INDEX entries_project ON entries (project_id, type);

CREATE TABLE packages (
    id                 {{id}},
    project_id         BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    entry_id           BIGINT NOT NULL REFERENCES entries (id) ON DELETE CASCADE,
    type               TEXT NOT NULL,
    name               TEXT NOT NULL, -- as published
    version            TEXT NOT NULL,
    status             INTEGER NOT NULL,
    status_message     TEXT NOT NULL,
    creator_id         BIGINT REFERENCES users (id) ON DELETE SET NULL,
    pipeline_id        BIGINT REFERENCES pipelines (id) ON DELETE SET NULL,
    root_id            BIGINT, -- top-level namespace in which name and version are claimed
    search             TEXT NOT NULL, -- name and words, lower case
    created_at         BIGINT NOT NULL,
    last_downloaded_at BIGINT NOT NULL
);
-- Who wins among racing publishers is decided here, not by a check before the insert.
CREATE UNIQUE INDEX packages_version ON packages (entry_id, version) WHERE status <> 4;
CREATE UNIQUE INDEX packages_claim ON packages (root_id, type, name, version) WHERE root_id IS NOT NULL AND status <> 4;
CREATE INDEX packages_project ON packages (project_id, created_at);
CREATE INDEX packages_pipeline ON packages (pipeline_id) WHERE pipeline_id IS NOT NULL;

CREATE TABLE package_files (
    id         {{id}},
    package_id BIGINT NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    size       BIGINT NOT NULL,
    md5        TEXT NOT NULL,
    sha1       TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    sha512     TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX package_files_package ON package_files (package_id, name);
CREATE INDEX package_files_sha256 ON package_files (sha256);

-- A version's own pieces of the index documents, rendered when it is published.
CREATE TABLE fragments (
    package_id BIGINT NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
    variant    TEXT NOT NULL,
    body       {{bytes}} NOT NULL,
    PRIMARY KEY (package_id, variant)
);

CREATE TABLE tags (
    id         {{id}},
    entry_id   BIGINT NOT NULL REFERENCES entries (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    package_id BIGINT NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX tags_name ON tags (entry_id, name);
CREATE INDEX tags_package ON tags (package_id);

-- +goose Down
DROP TABLE tags;
DROP TABLE fragments;
DROP TABLE package_files;
DROP TABLE packages;
DROP TABLE entries;
DROP TABLE logins;
DROP TABLE tokens;
DROP TABLE pipelines;
DROP TABLE members;
DROP TABLE routes;
DROP TABLE projects;
DROP TABLE namespaces;
DROP TABLE users;
DROP TABLE revisions;
