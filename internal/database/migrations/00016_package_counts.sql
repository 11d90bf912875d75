-- How many packages a list has when no name is asked for, without a look at each name.

-- +goose Up
-- package_names added up, by triggers of its own. A number is in parts, by how long the name is, so that publishers of a project
-- seldom wait for each other; on PostgreSQL the number is changed at the end, when only the commit is left to wait for.
CREATE TABLE package_counts (
    project_id  BIGINT NOT NULL,
    type_number INTEGER NOT NULL,
    status      INTEGER NOT NULL,
    versioned   BOOLEAN NOT NULL,
    part        INTEGER NOT NULL,
    names       BIGINT NOT NULL, -- rows of package_names
    packages    BIGINT NOT NULL,
    PRIMARY KEY (project_id, type_number, status, versioned, part)
) {{clustered}};
-- Other nodes may publish meanwhile: what they change is counted here or by the triggers.
-- +goose StatementBegin
{{postgres}} LOCK TABLE package_names IN SHARE ROW EXCLUSIVE MODE; {{end_postgres}}
-- +goose StatementEnd
INSERT INTO package_counts (project_id, type_number, status, versioned, part, names, packages)
SELECT project_id, type_number, status, versioned, length(name) % 8, COUNT(*), SUM(packages) FROM package_names GROUP BY 1, 2, 3, 4, 5;

-- +goose StatementBegin
{{sqlite}}
CREATE TRIGGER names_counted AFTER INSERT ON package_names BEGIN
    INSERT INTO package_counts (project_id, type_number, status, versioned, part, names, packages)
    VALUES (NEW.project_id, NEW.type_number, NEW.status, NEW.versioned, length(NEW.name) % 8, 1, NEW.packages)
    ON CONFLICT (project_id, type_number, status, versioned, part) DO UPDATE SET names = names + 1, packages = packages + excluded.packages;
END;
CREATE TRIGGER names_recounted AFTER UPDATE OF packages ON package_names BEGIN
    UPDATE package_counts SET packages = packages + NEW.packages - OLD.packages WHERE project_id = NEW.project_id AND type_number = NEW.type_number
        AND status = NEW.status AND versioned = NEW.versioned AND part = length(NEW.name) % 8;
END;
CREATE TRIGGER names_discounted AFTER DELETE ON package_names BEGIN
    UPDATE package_counts SET names = names - 1, packages = packages - OLD.packages WHERE project_id = OLD.project_id AND type_number = OLD.type_number
        AND status = OLD.status AND versioned = OLD.versioned AND part = length(OLD.name) % 8;
    DELETE FROM package_counts WHERE project_id = OLD.project_id AND type_number = OLD.type_number
        AND status = OLD.status AND versioned = OLD.versioned AND part = length(OLD.name) % 8 AND names = 0;
END;
{{end_sqlite}}
{{postgres}}
CREATE FUNCTION count_name() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r package_names := COALESCE(NEW, OLD);
    more_names BIGINT := CASE TG_OP WHEN 'INSERT' THEN 1 WHEN 'DELETE' THEN -1 ELSE 0 END;
    more_packages BIGINT := COALESCE(NEW.packages, 0) - COALESCE(OLD.packages, 0);
BEGIN
    INSERT INTO package_counts AS n (project_id, type_number, status, versioned, part, names, packages)
    VALUES (r.project_id, r.type_number, r.status, r.versioned, length(r.name) % 8, more_names, more_packages)
    ON CONFLICT (project_id, type_number, status, versioned, part) DO UPDATE SET names = n.names + more_names, packages = n.packages + more_packages;
    IF TG_OP = 'DELETE' THEN
        DELETE FROM package_counts WHERE project_id = r.project_id AND type_number = r.type_number
            AND status = r.status AND versioned = r.versioned AND part = length(r.name) % 8 AND names = 0;
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER names_counted AFTER INSERT OR DELETE OR UPDATE OF packages ON package_names
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION count_name();
{{end_postgres}}
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
{{sqlite}}
DROP TRIGGER names_counted;
DROP TRIGGER names_recounted;
DROP TRIGGER names_discounted;
{{end_sqlite}}
{{postgres}}
DROP TRIGGER names_counted ON package_names;
DROP FUNCTION count_name;
{{end_postgres}}
-- +goose StatementEnd
DROP TABLE package_counts;
