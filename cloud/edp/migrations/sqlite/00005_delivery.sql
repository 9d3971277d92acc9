-- +goose Up

-- Where the bytes of a document are: in body, in rows of parts, or they are those
-- of another document.
ALTER TABLE documents ADD COLUMN enc TEXT NOT NULL DEFAULT 'zstd'; -- zstd, gzip or identity
ALTER TABLE documents ADD COLUMN parts INTEGER NOT NULL DEFAULT 0; -- rows of parts, 0: none
ALTER TABLE documents ADD COLUMN same_as TEXT NOT NULL DEFAULT ''; -- id, empty: its own

-- The pieces of large documents as they came: compressed as a whole, then cut.
CREATE TABLE parts (
    collector TEXT NOT NULL,
    document  TEXT NOT NULL,
    part      INTEGER NOT NULL,
    body      BLOB NOT NULL,
    PRIMARY KEY (collector, document, part)
) STRICT;

-- Documents that are not whole yet.
CREATE TABLE arriving (
    collector TEXT NOT NULL REFERENCES collectors (id),
    id        TEXT NOT NULL,
    header    TEXT NOT NULL,    -- JSON, of the last part once it is there
    enc       TEXT NOT NULL,
    parts     INTEGER NOT NULL, -- 0: not known yet
    had       INTEGER NOT NULL, -- rows of parts
    kept      INTEGER NOT NULL, -- of these, from the first on without a gap
    bytes     INTEGER NOT NULL, -- of all rows of parts
    gap_at    INTEGER NOT NULL, -- when a gap was seen first
    seen_at   INTEGER NOT NULL,
    PRIMARY KEY (collector, id)
) STRICT, WITHOUT ROWID;

-- Documents whose bodies wait in their collector for an approval.
CREATE TABLE held (
    id           TEXT PRIMARY KEY,
    collector    TEXT NOT NULL REFERENCES collectors (id),
    boot         TEXT NOT NULL,
    run          TEXT NOT NULL,
    device       TEXT NOT NULL,
    item         TEXT NOT NULL,
    outcome      TEXT NOT NULL,
    flags        TEXT NOT NULL, -- JSON
    sha256       TEXT NOT NULL,
    size         INTEGER NOT NULL,
    raw_sha256   TEXT NOT NULL,
    raw_size     INTEGER NOT NULL,
    collected_at INTEGER NOT NULL,
    offered_at   INTEGER NOT NULL,
    state        TEXT NOT NULL, -- waiting, approved or declined
    decided_by   TEXT NOT NULL DEFAULT '',
    decided_at   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX held_collector ON held (collector, state);

-- The signed form: raw is the JSON that envelope signs the digest of, with the key
-- in spki. Manifests from before have no envelope, and were whole runs of a boot.
ALTER TABLE manifests ADD COLUMN envelope TEXT NOT NULL DEFAULT ''; -- JSON
ALTER TABLE manifests ADD COLUMN spki TEXT NOT NULL DEFAULT '';     -- PKIX DER in base64
ALTER TABLE manifests ADD COLUMN section INTEGER NOT NULL DEFAULT 1;
ALTER TABLE manifests ADD COLUMN last INTEGER NOT NULL DEFAULT 1;
CREATE INDEX manifests_previous ON manifests (collector, previous);

ALTER TABLE runs ADD COLUMN schedule TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN window INTEGER NOT NULL DEFAULT 0; -- its start
ALTER TABLE runs ADD COLUMN mode TEXT NOT NULL DEFAULT '';     -- of the egress
ALTER TABLE runs ADD COLUMN reason TEXT NOT NULL DEFAULT '';   -- why it was cut off
ALTER TABLE runs ADD COLUMN withheld INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN unchanged INTEGER NOT NULL DEFAULT 0;

ALTER TABLE jobs ADD COLUMN release TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN detail TEXT NOT NULL DEFAULT '';

-- The last whole collection of each device by each schedule; '' stands for those
-- that were asked for.
CREATE TABLE done (
    collector TEXT NOT NULL,
    schedule  TEXT NOT NULL,
    device    TEXT NOT NULL,
    at        INTEGER NOT NULL, -- start of the run
    seconds   REAL NOT NULL,
    PRIMARY KEY (collector, schedule, device)
) STRICT, WITHOUT ROWID;
INSERT INTO done (collector, schedule, device, at, seconds)
    SELECT collector, '', id, last_complete, seconds FROM devices WHERE last_complete > 0;
ALTER TABLE devices DROP COLUMN last_complete;

-- The starts of each collector, in the order in which they said hello first.
CREATE TABLE boots (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    collector TEXT NOT NULL REFERENCES collectors (id),
    boot      TEXT NOT NULL,
    conn      INTEGER NOT NULL, -- the newest that said hello
    seen_at   INTEGER NOT NULL,
    UNIQUE (collector, boot)
) STRICT;
INSERT INTO boots (collector, boot, conn, seen_at) SELECT id, boot, conn, last_seen FROM collectors WHERE boot <> '';

-- +goose Down

DROP TABLE boots;
ALTER TABLE devices ADD COLUMN last_complete INTEGER NOT NULL DEFAULT 0;
UPDATE devices SET last_complete = COALESCE((SELECT MAX(at) FROM done d
    WHERE d.collector = devices.collector AND d.device = devices.id), 0);
DROP TABLE done;
ALTER TABLE jobs DROP COLUMN detail;
ALTER TABLE jobs DROP COLUMN source;
ALTER TABLE jobs DROP COLUMN release;
ALTER TABLE runs DROP COLUMN unchanged;
ALTER TABLE runs DROP COLUMN withheld;
ALTER TABLE runs DROP COLUMN reason;
ALTER TABLE runs DROP COLUMN mode;
ALTER TABLE runs DROP COLUMN window;
ALTER TABLE runs DROP COLUMN schedule;
DROP INDEX manifests_previous;
ALTER TABLE manifests DROP COLUMN last;
ALTER TABLE manifests DROP COLUMN section;
ALTER TABLE manifests DROP COLUMN spki;
ALTER TABLE manifests DROP COLUMN envelope;
DROP TABLE held;
DROP TABLE arriving;
DELETE FROM documents WHERE parts > 0 OR same_as <> ''; -- their bytes are in no body
DELETE FROM latest_documents;
INSERT INTO latest_documents (collector, device, item, document, collected_at)
    SELECT collector, device, item, id, MAX(collected_at) FROM documents GROUP BY collector, device, item;
DROP TABLE parts;
ALTER TABLE documents DROP COLUMN same_as;
ALTER TABLE documents DROP COLUMN parts;
ALTER TABLE documents DROP COLUMN enc;
