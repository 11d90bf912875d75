-- +goose Up

-- A version in the spelling by which its format knows it: what a format takes for one version is one.
ALTER TABLE packages ADD COLUMN version_key TEXT {{bytewise}} NOT NULL DEFAULT '';
UPDATE packages SET version_key = version;
DROP INDEX packages_version;
CREATE UNIQUE INDEX packages_version ON packages (entry_id, version_key) WHERE status <> 4;

-- What some clients of the format cannot read or do not want, as bits; and of the listed versions of an entry, bit
-- 1 << traits for each.
ALTER TABLE packages ADD COLUMN traits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entries ADD COLUMN listed INTEGER NOT NULL DEFAULT 0;
UPDATE entries SET listed = 1 WHERE latest_id <> 0;

-- Debug symbols that came with a file, by what a debugger asks for.
CREATE TABLE symbols (
    id        {{id}},
    file_id   BIGINT NOT NULL REFERENCES package_files (id) ON DELETE CASCADE,
    name      TEXT NOT NULL, -- lower case, without a folder
    signature TEXT NOT NULL, -- lower-case hex
    checksum  TEXT NOT NULL, -- lower-case hex of the content without its id
    size      BIGINT NOT NULL,
    sha256    TEXT NOT NULL -- of the blob
);
CREATE INDEX symbols_signature ON symbols (signature, name);
CREATE INDEX symbols_file ON symbols (file_id);
CREATE INDEX symbols_sha256 ON symbols (sha256);

-- +goose Down
DROP TABLE symbols;
ALTER TABLE entries DROP COLUMN listed;
ALTER TABLE packages DROP COLUMN traits;
DROP INDEX packages_version;
CREATE UNIQUE INDEX packages_version ON packages (entry_id, version) WHERE status <> 4;
ALTER TABLE packages DROP COLUMN version_key;
