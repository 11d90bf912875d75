-- Lists of packages of a rare status.

-- +goose Up
CREATE INDEX packages_by_status ON packages (status, project_id, id, type_number, version, name_key, name, created_at) WHERE status <> 0;

-- +goose Down
DROP INDEX packages_by_status;
