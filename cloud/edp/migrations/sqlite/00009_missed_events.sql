-- +goose Up

-- Since when a collector that went without a word is waited for; 0: it is there, it
-- stopped in order, or its loss was told.
ALTER TABLE collectors ADD COLUMN missed_at INTEGER NOT NULL DEFAULT 0;

-- The id that the collector gave an event, so that one that comes again is kept
-- once; '': it gave none.
ALTER TABLE events ADD COLUMN event TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX events_once ON events (collector, event) WHERE event <> '';

-- +goose Down

DROP INDEX events_once;
ALTER TABLE events DROP COLUMN event;
ALTER TABLE collectors DROP COLUMN missed_at;
