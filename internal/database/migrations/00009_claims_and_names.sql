-- +goose Up

-- What is marked for deletion claims nothing.
UPDATE packages SET root_id = NULL WHERE root_id IS NOT NULL AND project_id IN (SELECT id FROM projects WHERE hidden_at <> 0 OR condemned);

-- Names that were in a project below a top-level path, and are there no more: the project left or was removed, or what
-- has the path is another namespace now.
CREATE TABLE former_names (
    root TEXT NOT NULL, -- the path, lower case
    type TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (root, type, name)
) {{clustered}};

-- +goose Down
DROP TABLE former_names;
