-- +goose Up

-- What a port-violation is about.
ALTER TABLE events ADD COLUMN violation TEXT NOT NULL DEFAULT ''; -- JSON, empty: none
CREATE INDEX events_violation ON events (collector, id) WHERE violation <> '';

-- +goose Down

DROP INDEX events_violation;
ALTER TABLE events DROP COLUMN violation;
