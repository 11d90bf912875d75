-- +goose Up

-- People in browsers. The cookie holds the secret, the table its hash.
CREATE TABLE sessions (
    id           {{id}},
    hash         {{bytes}} NOT NULL UNIQUE, -- SHA-256 of the secret
    user_id      BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    address      TEXT NOT NULL, -- from where it began
    agent        TEXT NOT NULL, -- of the browser, as it says
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

ALTER TABLE users ADD COLUMN language TEXT NOT NULL DEFAULT ''; -- of the pages; empty: as the browser says
ALTER TABLE users ADD COLUMN theme TEXT NOT NULL DEFAULT ''; -- light, dark; empty: as the browser says
ALTER TABLE users ADD COLUMN temporary BOOLEAN NOT NULL DEFAULT FALSE; -- the password was generated, and is to be replaced

-- What the latest version of an entry depends on, so that people see by what a package is used.
CREATE TABLE needs (
    type     TEXT NOT NULL,
    name     TEXT NOT NULL, -- canonical spelling of the format
    entry_id BIGINT NOT NULL REFERENCES entries (id) ON DELETE CASCADE,
    PRIMARY KEY (type, name, entry_id)
) {{clustered}};
CREATE INDEX needs_entry ON needs (entry_id);

-- +goose Down
DROP TABLE needs;
ALTER TABLE users DROP COLUMN temporary;
ALTER TABLE users DROP COLUMN theme;
ALTER TABLE users DROP COLUMN language;
DROP TABLE sessions;
