-- +goose Up

-- Several schedules, each with a name; the one of before is called daily.
ALTER TABLE collectors ADD COLUMN schedules TEXT NOT NULL DEFAULT '[]'; -- JSON
UPDATE collectors SET schedules = json_array(json_set(schedule, '$.name', 'daily'))
    WHERE COALESCE(json_extract(schedule, '$.start'), '') <> '';
ALTER TABLE collectors DROP COLUMN schedule;

ALTER TABLE collectors ADD COLUMN egress TEXT NOT NULL DEFAULT '{}'; -- JSON

-- +goose Down

ALTER TABLE collectors DROP COLUMN egress;
ALTER TABLE collectors ADD COLUMN schedule TEXT NOT NULL DEFAULT '{}'; -- JSON
UPDATE collectors SET schedule = json_remove(json_extract(schedules, '$[0]'), '$.name')
    WHERE json_array_length(schedules) > 0;
ALTER TABLE collectors DROP COLUMN schedules;
