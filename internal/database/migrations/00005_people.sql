-- +goose Up

ALTER TABLE users ADD COLUMN state TEXT NOT NULL DEFAULT ''; -- empty: active; otherwise why the user is kept out
UPDATE users SET state = 'blocked' WHERE blocked;
ALTER TABLE users DROP COLUMN blocked;
ALTER TABLE users ADD COLUMN name_key TEXT NOT NULL DEFAULT ''; -- name in lower case, to search in
UPDATE users SET name_key = LOWER(name);

ALTER TABLE tokens ADD COLUMN family BIGINT; -- the first of a line of tokens that were rotated one into the next; NULL: itself
ALTER TABLE tokens ADD COLUMN impersonation BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE tokens ADD COLUMN level INTEGER NOT NULL DEFAULT 0; -- of the bot of a project's or group's own token
CREATE INDEX tokens_family ON tokens (family) WHERE family IS NOT NULL;

-- Paths as they were: what is deleted has none to look up.
ALTER TABLE audit_events ADD COLUMN of_user_id BIGINT; -- the user whom it is about, where it is about no project or group
ALTER TABLE audit_events ADD COLUMN path TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN sudo TEXT NOT NULL DEFAULT ''; -- the administrator who acted as the author
UPDATE audit_events SET path = COALESCE((SELECT p.full_path FROM projects p WHERE p.id = project_id), (SELECT n.full_path FROM namespaces n WHERE n.id = namespace_id), '');
CREATE INDEX audit_events_user ON audit_events (of_user_id, id) WHERE of_user_id IS NOT NULL;
CREATE INDEX audit_events_created ON audit_events (created_at);

-- +goose Down
DROP INDEX audit_events_created;
DROP INDEX audit_events_user;
ALTER TABLE audit_events DROP COLUMN sudo;
ALTER TABLE audit_events DROP COLUMN path;
ALTER TABLE audit_events DROP COLUMN of_user_id;
DROP INDEX tokens_family;
ALTER TABLE tokens DROP COLUMN level;
ALTER TABLE tokens DROP COLUMN impersonation;
ALTER TABLE tokens DROP COLUMN family;
ALTER TABLE users DROP COLUMN name_key;
ALTER TABLE users ADD COLUMN blocked BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE users SET blocked = TRUE WHERE state <> '';
ALTER TABLE users DROP COLUMN state;
