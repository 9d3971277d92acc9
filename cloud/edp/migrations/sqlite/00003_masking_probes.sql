-- +goose Up

-- What the device sent, where masking or repair changed it; masked counts by class.
ALTER TABLE documents ADD COLUMN raw_sha256 TEXT NOT NULL DEFAULT '';
ALTER TABLE documents ADD COLUMN raw_size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE documents ADD COLUMN masked TEXT NOT NULL DEFAULT ''; -- JSON, empty: none

-- Items that were not asked for; run_items.outcome tells what the device said of
-- such an item before.
ALTER TABLE runs ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run_items ADD COLUMN outcome TEXT NOT NULL DEFAULT '';

ALTER TABLE devices ADD COLUMN access TEXT NOT NULL DEFAULT ''; -- JSON, empty: not known

ALTER TABLE collectors ADD COLUMN masking TEXT NOT NULL DEFAULT '{}'; -- JSON
ALTER TABLE collectors ADD COLUMN mask_version TEXT NOT NULL DEFAULT ''; -- empty: no key yet
ALTER TABLE collectors ADD COLUMN mask_cipher BLOB; -- as the vault sealed it
ALTER TABLE collectors ADD COLUMN allow_cli INTEGER NOT NULL DEFAULT 0;

CREATE TABLE probes (
    job       TEXT NOT NULL REFERENCES jobs (id),
    device    TEXT NOT NULL,
    collector TEXT NOT NULL,
    at        INTEGER NOT NULL,
    result    TEXT NOT NULL, -- JSON
    PRIMARY KEY (job, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX probes_device ON probes (collector, device, at);

CREATE INDEX events_device ON events (collector, device, id);

-- +goose Down

DROP INDEX events_device;
DROP TABLE probes;
ALTER TABLE collectors DROP COLUMN allow_cli;
ALTER TABLE collectors DROP COLUMN mask_cipher;
ALTER TABLE collectors DROP COLUMN mask_version;
ALTER TABLE collectors DROP COLUMN masking;
ALTER TABLE devices DROP COLUMN access;
ALTER TABLE run_items DROP COLUMN outcome;
ALTER TABLE runs DROP COLUMN skipped;
ALTER TABLE documents DROP COLUMN masked;
ALTER TABLE documents DROP COLUMN raw_size;
ALTER TABLE documents DROP COLUMN raw_sha256;
