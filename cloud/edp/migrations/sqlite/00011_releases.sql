-- +goose Up

-- Releases of the appliance. The files lie beside the database; a version that was
-- published once is never another.
CREATE TABLE releases (
    version      TEXT    NOT NULL PRIMARY KEY,
    state        TEXT    NOT NULL, -- published, withdrawn
    digest       TEXT    NOT NULL, -- SHA-256 of the signed manifest
    manifest     TEXT    NOT NULL, -- JSON, as it was signed
    published_at INTEGER NOT NULL,
    published_by TEXT    NOT NULL,
    withdrawn_at INTEGER NOT NULL DEFAULT 0,
    withdrawn_by TEXT    NOT NULL DEFAULT '',
    reason       TEXT    NOT NULL DEFAULT ''
) STRICT;

-- Which boxes may take which release; no collector: all.
CREATE TABLE release_approvals (
    version     TEXT    NOT NULL REFERENCES releases (version) ON DELETE CASCADE,
    collector   TEXT    NOT NULL DEFAULT '',
    approved_by TEXT    NOT NULL,
    approved_at INTEGER NOT NULL,
    PRIMARY KEY (version, collector)
) STRICT;

CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL -- JSON
) STRICT;

ALTER TABLE collectors ADD COLUMN updates TEXT NOT NULL DEFAULT '{}'; -- JSON
ALTER TABLE collectors ADD COLUMN box TEXT NOT NULL DEFAULT '{}'; -- JSON
ALTER TABLE jobs ADD COLUMN reboot_at INTEGER NOT NULL DEFAULT 0;
-- Whether a collector said anything of it.
ALTER TABLE jobs ADD COLUMN taken INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET taken = 1 WHERE state IN ('accepted', 'running', 'done', 'refused');
CREATE INDEX jobs_updates ON jobs (collector, id) WHERE kind = 'update';

-- +goose Down

DROP INDEX jobs_updates;
ALTER TABLE jobs DROP COLUMN taken;
ALTER TABLE jobs DROP COLUMN reboot_at;
ALTER TABLE collectors DROP COLUMN box;
ALTER TABLE collectors DROP COLUMN updates;
DROP TABLE settings;
DROP TABLE release_approvals;
DROP TABLE releases;
