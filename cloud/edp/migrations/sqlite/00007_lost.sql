-- +goose Up

-- Since when a collector is gone without having said so; 0: it is there, or it
-- stopped in order.
ALTER TABLE collectors ADD COLUMN lost_at INTEGER NOT NULL DEFAULT 0;

-- +goose Down

ALTER TABLE collectors DROP COLUMN lost_at;
