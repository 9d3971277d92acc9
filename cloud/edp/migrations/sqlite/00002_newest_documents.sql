-- +goose Up

-- The newest documents, of all and of a collector, without reading every one.
CREATE INDEX documents_newest ON documents (collected_at, id);
CREATE INDEX documents_newest_of ON documents (collector, collected_at, id);

-- +goose Down

DROP INDEX documents_newest_of;
DROP INDEX documents_newest;
