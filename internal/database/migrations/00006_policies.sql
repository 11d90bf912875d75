-- +goose Up

-- What a group or project says of its packages; what has no row is inherited from above.
CREATE TABLE package_settings (
    namespace_id BIGINT REFERENCES namespaces (id) ON DELETE CASCADE, -- one of the two is set
    project_id   BIGINT REFERENCES projects (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    value        TEXT NOT NULL
);
CREATE UNIQUE INDEX package_settings_namespace ON package_settings (namespace_id, name) WHERE namespace_id IS NOT NULL;
CREATE UNIQUE INDEX package_settings_project ON package_settings (project_id, name) WHERE project_id IS NOT NULL;

CREATE TABLE protection_rules (
    id           {{id}},
    namespace_id BIGINT REFERENCES namespaces (id) ON DELETE CASCADE, -- one of the two is set
    project_id   BIGINT REFERENCES projects (id) ON DELETE CASCADE,
    type         TEXT NOT NULL,
    pattern      TEXT NOT NULL,
    push_level   INTEGER NOT NULL, -- 0: none
    delete_level INTEGER NOT NULL
);
CREATE UNIQUE INDEX protection_rules_namespace ON protection_rules (namespace_id, type, pattern) WHERE namespace_id IS NOT NULL;
CREATE UNIQUE INDEX protection_rules_project ON protection_rules (project_id, type, pattern) WHERE project_id IS NOT NULL;

-- +goose Down
DROP TABLE protection_rules;
DROP TABLE package_settings;
