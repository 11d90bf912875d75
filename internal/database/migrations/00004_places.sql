-- +goose Up

-- A path that something had before stays as a row that leads to it, until somebody else takes the path.
ALTER TABLE routes ADD COLUMN moved BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX routes_moved ON routes (path {{prefix_search}}) WHERE moved;
CREATE INDEX routes_namespace ON routes (namespace_id) WHERE namespace_id IS NOT NULL;
CREATE INDEX routes_project ON routes (project_id) WHERE project_id IS NOT NULL;

-- marked_at: when it was marked for deletion; hidden_at: when it, or something above it, was; 0: not.
-- condemned: nobody sees it any more, nor can restore it; the rows go bit by bit.
ALTER TABLE namespaces ADD COLUMN marked_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE namespaces ADD COLUMN hidden_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE namespaces ADD COLUMN condemned BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX namespaces_marked ON namespaces (marked_at) WHERE marked_at <> 0;
CREATE INDEX namespaces_condemned ON namespaces (id) WHERE condemned;
ALTER TABLE projects ADD COLUMN marked_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE projects ADD COLUMN hidden_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE projects ADD COLUMN condemned BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX projects_marked ON projects (marked_at) WHERE marked_at <> 0;
CREATE INDEX projects_condemned ON projects (id) WHERE condemned;

-- +goose Down
DROP INDEX projects_condemned;
DROP INDEX projects_marked;
ALTER TABLE projects DROP COLUMN condemned;
ALTER TABLE projects DROP COLUMN hidden_at;
ALTER TABLE projects DROP COLUMN marked_at;
DROP INDEX namespaces_condemned;
DROP INDEX namespaces_marked;
ALTER TABLE namespaces DROP COLUMN condemned;
ALTER TABLE namespaces DROP COLUMN hidden_at;
ALTER TABLE namespaces DROP COLUMN marked_at;
DROP INDEX routes_project;
DROP INDEX routes_namespace;
DELETE FROM routes WHERE moved;
DROP INDEX routes_moved;
ALTER TABLE routes DROP COLUMN moved;
