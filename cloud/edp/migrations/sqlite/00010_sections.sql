-- +goose Up

-- Each section asks whether those before it are there.
CREATE INDEX manifests_sections ON manifests (run, boot, section, last);

-- +goose Down

DROP INDEX manifests_sections;
