-- +goose Up

-- When an admin last let a release go on that was held back, and why: what failed with
-- it before does not count against it.
ALTER TABLE releases ADD COLUMN resumed_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE releases ADD COLUMN resumed_by TEXT NOT NULL DEFAULT '';
ALTER TABLE releases ADD COLUMN resume_reason TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE releases DROP COLUMN resume_reason;
ALTER TABLE releases DROP COLUMN resumed_by;
ALTER TABLE releases DROP COLUMN resumed_at;
