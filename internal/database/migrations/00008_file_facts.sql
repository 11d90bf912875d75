-- +goose Up

-- What a format's documents show of a file besides its name, size, digests and time; JSON of the format.
ALTER TABLE package_files ADD COLUMN facts TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE package_files DROP COLUMN facts;
