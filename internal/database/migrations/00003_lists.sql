-- Lists of packages, of any size, without a sort and without a look at each package.

-- +goose Up
ALTER TABLE packages ADD COLUMN type_number INTEGER NOT NULL DEFAULT 0; -- GitLab's number of the type
ALTER TABLE packages ADD COLUMN name_key TEXT {{bytewise}} NOT NULL DEFAULT ''; -- the name in lower case
UPDATE packages SET type_number = CASE type WHEN 'maven' THEN 1 WHEN 'npm' THEN 2 WHEN 'conan' THEN 3 WHEN 'nuget' THEN 4
    WHEN 'pypi' THEN 5 WHEN 'composer' THEN 6 WHEN 'generic' THEN 7 ELSE 0 END;
-- What a package is found by begins with its name in lower case, which the databases cannot make of every letter.
-- +goose StatementBegin
{{sqlite}} UPDATE packages SET name_key = substr(search, 1, instr(search, char(10)) - 1); {{end_sqlite}}
{{postgres}} UPDATE packages SET name_key = split_part(search, chr(10), 1); {{end_postgres}}
-- +goose StatementEnd

-- Text has the order of its bytes, as in SQLite, whatever the language of the database is.
-- +goose StatementBegin
{{postgres}}
ALTER TABLE packages ALTER COLUMN name TYPE TEXT {{bytewise}}, ALTER COLUMN version TYPE TEXT {{bytewise}};
ALTER TABLE package_files ALTER COLUMN name TYPE TEXT {{bytewise}};
ALTER TABLE entries ALTER COLUMN name TYPE TEXT {{bytewise}};
ALTER TABLE projects ALTER COLUMN path TYPE TEXT {{bytewise}};
{{end_postgres}}
-- +goose StatementEnd

-- Each order of a list is an index that also holds all that a list is filtered by, so that a page in the middle is
-- reached without a look at the rows. The packages of all projects are together in them, so that they serve groups too.
-- A project that is small beside the others has its packages by creation in an index of its own. (SQLite makes a table of
-- what is behind IN, for each index at each insert.)
DROP INDEX packages_project;
CREATE INDEX packages_project ON packages (project_id, created_at, id);
CREATE INDEX packages_by_creation ON packages (created_at, id, project_id, type_number, version, name_key, status) WHERE status = 0 OR status = 3 OR status = 5;
CREATE INDEX packages_by_name ON packages (name, id, project_id, type_number, version, name_key, status, created_at) WHERE status = 0 OR status = 3 OR status = 5;
CREATE INDEX packages_by_version ON packages (version, id, project_id, type_number, name_key, status) WHERE status = 0 OR status = 3 OR status = 5;
CREATE INDEX packages_by_type ON packages (type_number, id, project_id, version, name_key, status) WHERE status = 0 OR status = 3 OR status = 5;

DROP INDEX package_files_package;
CREATE INDEX package_files_package ON package_files (package_id, name, id, status, created_at);

-- How many packages of each name lists show. Triggers keep it, whoever changes a package, so nothing else has to be
-- referenced. Publishers of one name wait for its entry anyway, so it makes nobody wait; a number for a whole project would.
CREATE TABLE package_names (
    project_id  BIGINT NOT NULL,
    type_number INTEGER NOT NULL,
    name_key    TEXT {{bytewise}} NOT NULL,
    status      INTEGER NOT NULL,
    versioned   BOOLEAN NOT NULL, -- whether they have a version
    name        TEXT {{bytewise}} NOT NULL,
    packages    BIGINT NOT NULL,
    PRIMARY KEY (project_id, type_number, name_key, status, versioned, name)
) {{clustered}};
INSERT INTO package_names (project_id, type_number, name_key, status, versioned, name, packages)
SELECT project_id, type_number, name_key, status, version <> '', name, COUNT(*) FROM packages WHERE status IN (0, 3, 5) GROUP BY 1, 2, 3, 4, 5, 6;

-- +goose StatementBegin
{{sqlite}}
CREATE TRIGGER packages_named AFTER INSERT ON packages WHEN NEW.status = 0 OR NEW.status = 3 OR NEW.status = 5 BEGIN
    INSERT INTO package_names (project_id, type_number, name_key, status, versioned, name, packages)
    VALUES (NEW.project_id, NEW.type_number, NEW.name_key, NEW.status, NEW.version <> '', NEW.name, 1)
    ON CONFLICT (project_id, type_number, name_key, status, versioned, name) DO UPDATE SET packages = packages + 1;
END;
CREATE TRIGGER packages_renamed_new AFTER UPDATE OF project_id, type_number, name, name_key, version, status ON packages WHEN NEW.status = 0 OR NEW.status = 3 OR NEW.status = 5 BEGIN
    INSERT INTO package_names (project_id, type_number, name_key, status, versioned, name, packages)
    VALUES (NEW.project_id, NEW.type_number, NEW.name_key, NEW.status, NEW.version <> '', NEW.name, 1)
    ON CONFLICT (project_id, type_number, name_key, status, versioned, name) DO UPDATE SET packages = packages + 1;
END;
CREATE TRIGGER packages_renamed_old AFTER UPDATE OF project_id, type_number, name, name_key, version, status ON packages WHEN OLD.status = 0 OR OLD.status = 3 OR OLD.status = 5 BEGIN
    UPDATE package_names SET packages = packages - 1 WHERE project_id = OLD.project_id AND type_number = OLD.type_number
        AND name_key = OLD.name_key AND status = OLD.status AND versioned = (OLD.version <> '') AND name = OLD.name;
    DELETE FROM package_names WHERE project_id = OLD.project_id AND type_number = OLD.type_number
        AND name_key = OLD.name_key AND status = OLD.status AND versioned = (OLD.version <> '') AND name = OLD.name AND packages = 0;
END;
CREATE TRIGGER packages_unnamed AFTER DELETE ON packages WHEN OLD.status = 0 OR OLD.status = 3 OR OLD.status = 5 BEGIN
    UPDATE package_names SET packages = packages - 1 WHERE project_id = OLD.project_id AND type_number = OLD.type_number
        AND name_key = OLD.name_key AND status = OLD.status AND versioned = (OLD.version <> '') AND name = OLD.name;
    DELETE FROM package_names WHERE project_id = OLD.project_id AND type_number = OLD.type_number
        AND name_key = OLD.name_key AND status = OLD.status AND versioned = (OLD.version <> '') AND name = OLD.name AND packages = 0;
END;
{{end_sqlite}}
{{postgres}}
CREATE FUNCTION count_package() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.status IN (0, 3, 5) THEN
        UPDATE package_names SET packages = packages - 1 WHERE project_id = OLD.project_id AND type_number = OLD.type_number
            AND name_key = OLD.name_key AND status = OLD.status AND versioned = (OLD.version <> '') AND name = OLD.name;
        DELETE FROM package_names WHERE project_id = OLD.project_id AND type_number = OLD.type_number
            AND name_key = OLD.name_key AND status = OLD.status AND versioned = (OLD.version <> '') AND name = OLD.name AND packages = 0;
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.status IN (0, 3, 5) THEN
        INSERT INTO package_names AS n (project_id, type_number, name_key, status, versioned, name, packages)
        VALUES (NEW.project_id, NEW.type_number, NEW.name_key, NEW.status, NEW.version <> '', NEW.name, 1)
        ON CONFLICT (project_id, type_number, name_key, status, versioned, name) DO UPDATE SET packages = n.packages + 1;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER packages_named AFTER INSERT OR DELETE OR UPDATE OF project_id, type_number, name, name_key, version, status ON packages
    FOR EACH ROW EXECUTE FUNCTION count_package();
{{end_postgres}}
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
{{sqlite}}
DROP TRIGGER packages_named;
DROP TRIGGER packages_renamed_new;
DROP TRIGGER packages_renamed_old;
DROP TRIGGER packages_unnamed;
{{end_sqlite}}
{{postgres}}
DROP TRIGGER packages_named ON packages;
DROP FUNCTION count_package;
{{end_postgres}}
-- +goose StatementEnd
DROP TABLE package_names;
DROP INDEX package_files_package;
CREATE INDEX package_files_package ON package_files (package_id, name);
DROP INDEX packages_by_type;
DROP INDEX packages_by_version;
DROP INDEX packages_by_name;
DROP INDEX packages_by_creation;
DROP INDEX packages_project;
CREATE INDEX packages_project ON packages (project_id, created_at);
ALTER TABLE packages DROP COLUMN name_key;
ALTER TABLE packages DROP COLUMN type_number;
