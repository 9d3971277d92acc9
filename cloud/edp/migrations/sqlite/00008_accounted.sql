-- +goose Up

-- The devices of a run that a manifest tells of. What is stored of others has no
-- account yet: the boot that sent it may have died before its section left.
CREATE TABLE accounted (
    run    TEXT NOT NULL REFERENCES runs (id),
    device TEXT NOT NULL,
    PRIMARY KEY (run, device)
) STRICT, WITHOUT ROWID;
INSERT INTO accounted (run, device) SELECT run, device FROM run_devices
    WHERE EXISTS (SELECT 1 FROM manifests m WHERE m.run = run_devices.run);

-- +goose Down

DROP TABLE accounted;
