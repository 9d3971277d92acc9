-- +goose Up

-- When a job was handed to the connection of its collector last: until then nobody but
-- the cloud knows of it. Those of before may have been.
ALTER TABLE jobs ADD COLUMN sent_at INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET sent_at = created_at;

-- +goose Down

ALTER TABLE jobs DROP COLUMN sent_at;
