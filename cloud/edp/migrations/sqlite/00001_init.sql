-- Times are microseconds since 1970 in UTC, 0 where there is none. Columns whose
-- comment says JSON hold one JSON value as text.

-- +goose Up

CREATE TABLE users (
    name       TEXT PRIMARY KEY,
    role       TEXT NOT NULL,
    hash       TEXT NOT NULL, -- argon2id, PHC string
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE links (
    hash       TEXT PRIMARY KEY, -- SHA-256 of the secret
    role       TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE api_tokens (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    hash       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL -- 0: never
) STRICT;

CREATE TABLE enrol_tokens (
    id         TEXT PRIMARY KEY,
    hash       TEXT NOT NULL,
    collector  TEXT NOT NULL, -- empty: any
    uses_left  INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

-- A key that used a token may use it again until it expires: the answer to its
-- first request may have been lost.
CREATE TABLE enrol_uses (
    token     TEXT NOT NULL REFERENCES enrol_tokens (id) ON DELETE CASCADE,
    spki      TEXT NOT NULL,
    collector TEXT NOT NULL,
    PRIMARY KEY (token, spki)
) STRICT;

CREATE TABLE sessions (
    hash       TEXT PRIMARY KEY, -- SHA-256 of the session token
    data       BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE collectors (
    id              TEXT PRIMARY KEY,
    state           TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    spki            TEXT NOT NULL DEFAULT '',
    serial          TEXT NOT NULL DEFAULT '',
    cert_not_after  INTEGER NOT NULL DEFAULT 0,
    boot            TEXT NOT NULL DEFAULT '',
    conn            INTEGER NOT NULL DEFAULT 0,
    boot_key        BLOB,
    capabilities    TEXT NOT NULL DEFAULT '[]', -- JSON
    firmware        TEXT NOT NULL DEFAULT '',
    online          INTEGER NOT NULL DEFAULT 0,
    last_seen       INTEGER NOT NULL DEFAULT 0,
    applied_version INTEGER NOT NULL DEFAULT 0,
    applied_sha256  TEXT NOT NULL DEFAULT '',
    applied_status  TEXT NOT NULL DEFAULT '',
    applied_error   TEXT NOT NULL DEFAULT '',
    item_errors     TEXT NOT NULL DEFAULT '[]', -- JSON
    ports           TEXT NOT NULL DEFAULT '{}', -- JSON
    health          TEXT NOT NULL DEFAULT '',   -- JSON, empty: none yet
    last_manifest   TEXT NOT NULL DEFAULT '',
    config_version  INTEGER NOT NULL DEFAULT 0,
    schedule        TEXT NOT NULL DEFAULT '{}', -- JSON
    profiles        TEXT NOT NULL DEFAULT '{}', -- JSON
    limits          TEXT NOT NULL DEFAULT '{}'  -- JSON
) STRICT;

CREATE TABLE events (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    collector TEXT NOT NULL,
    boot      TEXT NOT NULL,
    at        INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    device    TEXT NOT NULL,
    text      TEXT NOT NULL
) STRICT;
CREATE INDEX events_collector ON events (collector, id);

CREATE TABLE credentials (
    collector TEXT NOT NULL REFERENCES collectors (id),
    id        TEXT NOT NULL,
    kind      TEXT NOT NULL,
    username  TEXT NOT NULL,
    version   TEXT NOT NULL,
    cipher    BLOB NOT NULL,
    PRIMARY KEY (collector, id)
) STRICT;

CREATE TABLE bastions (
    collector TEXT NOT NULL REFERENCES collectors (id),
    id        TEXT NOT NULL,
    body      TEXT NOT NULL, -- JSON
    PRIMARY KEY (collector, id)
) STRICT;

CREATE TABLE devices (
    collector     TEXT NOT NULL REFERENCES collectors (id),
    id            TEXT NOT NULL,
    body          TEXT NOT NULL, -- JSON
    host_name     TEXT NOT NULL DEFAULT '',
    model         TEXT NOT NULL DEFAULT '',
    version       TEXT NOT NULL DEFAULT '',
    serials       TEXT NOT NULL DEFAULT '[]', -- JSON
    state         TEXT NOT NULL DEFAULT 'new',
    phase         TEXT NOT NULL DEFAULT '',
    kind          TEXT NOT NULL DEFAULT '',
    error         TEXT NOT NULL DEFAULT '',
    host_key      TEXT NOT NULL DEFAULT '',
    last_run      TEXT NOT NULL DEFAULT '',
    last_attempt  INTEGER NOT NULL DEFAULT 0,
    last_success  INTEGER NOT NULL DEFAULT 0,
    last_complete INTEGER NOT NULL DEFAULT 0, -- last success that a manifest accounts for
    seconds       REAL NOT NULL DEFAULT 0,
    PRIMARY KEY (collector, id)
) STRICT;

CREATE TABLE jobs (
    id          TEXT PRIMARY KEY,
    collector   TEXT NOT NULL REFERENCES collectors (id),
    kind        TEXT NOT NULL,
    run         TEXT NOT NULL,
    devices     TEXT NOT NULL, -- JSON
    asked_by    TEXT NOT NULL,
    state       TEXT NOT NULL,
    error       TEXT NOT NULL DEFAULT '',
    done        INTEGER NOT NULL DEFAULT 0,
    total       INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    finished_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX jobs_collector ON jobs (collector, id);

CREATE TABLE runs (
    id          TEXT PRIMARY KEY,
    collector   TEXT NOT NULL REFERENCES collectors (id),
    job         TEXT NOT NULL,
    kind        TEXT NOT NULL,
    state       TEXT NOT NULL,
    boot        TEXT NOT NULL, -- that sent of it last; empty: none yet
    started_at  INTEGER NOT NULL,
    finished_at INTEGER NOT NULL DEFAULT 0,
    expected    INTEGER NOT NULL DEFAULT 0,
    stored      INTEGER NOT NULL DEFAULT 0,
    failed      INTEGER NOT NULL DEFAULT 0,
    bytes       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX runs_collector ON runs (collector, id);

CREATE TABLE run_items (
    run    TEXT NOT NULL REFERENCES runs (id),
    device TEXT NOT NULL,
    item   TEXT NOT NULL,
    status TEXT NOT NULL, -- expected, or as in a manifest
    reason TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (run, device, item)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_devices (
    run    TEXT NOT NULL REFERENCES runs (id),
    device TEXT NOT NULL,
    at     INTEGER NOT NULL,
    result TEXT NOT NULL, -- JSON
    PRIMARY KEY (run, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE manifests (
    collector   TEXT NOT NULL REFERENCES collectors (id),
    hash        TEXT NOT NULL,
    run         TEXT NOT NULL REFERENCES runs (id),
    boot        TEXT NOT NULL,
    previous    TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    raw         BLOB NOT NULL, -- zstd
    PRIMARY KEY (collector, hash)
) STRICT;
CREATE INDEX manifests_run ON manifests (run, received_at);

CREATE TABLE documents (
    collector    TEXT NOT NULL REFERENCES collectors (id),
    id           TEXT NOT NULL UNIQUE,
    run          TEXT NOT NULL REFERENCES runs (id),
    device       TEXT NOT NULL,
    item         TEXT NOT NULL,
    boot         TEXT NOT NULL,
    outcome      TEXT NOT NULL,
    flags        TEXT NOT NULL, -- JSON
    sha256       TEXT NOT NULL, -- of the plain body
    size         INTEGER NOT NULL,
    collected_at INTEGER NOT NULL,
    received_at  INTEGER NOT NULL,
    body         BLOB NOT NULL, -- zstd
    PRIMARY KEY (collector, id),
    UNIQUE (collector, run, device, item)
) STRICT;
CREATE INDEX documents_place ON documents (collector, device, item, collected_at);

CREATE TABLE latest_documents (
    collector    TEXT NOT NULL,
    device       TEXT NOT NULL,
    item         TEXT NOT NULL,
    document     TEXT NOT NULL,
    collected_at INTEGER NOT NULL,
    PRIMARY KEY (collector, device, item)
) STRICT, WITHOUT ROWID;

-- +goose Down

DROP TABLE latest_documents;
DROP TABLE documents;
DROP TABLE manifests;
DROP TABLE run_devices;
DROP TABLE run_items;
DROP TABLE runs;
DROP TABLE jobs;
DROP TABLE devices;
DROP TABLE bastions;
DROP TABLE credentials;
DROP TABLE events;
DROP TABLE collectors;
DROP TABLE sessions;
DROP TABLE enrol_uses;
DROP TABLE enrol_tokens;
DROP TABLE api_tokens;
DROP TABLE links;
DROP TABLE users;
