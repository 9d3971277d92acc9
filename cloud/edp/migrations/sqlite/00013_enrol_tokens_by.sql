-- +goose Up

-- Who made an enrolment token, and what for: of those that are open, an admin has to
-- tell which may be revoked.
ALTER TABLE enrol_tokens ADD COLUMN made_by TEXT NOT NULL DEFAULT '';
ALTER TABLE enrol_tokens ADD COLUMN label TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE enrol_tokens DROP COLUMN label;
ALTER TABLE enrol_tokens DROP COLUMN made_by;
