package ledger

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"lwc/transport/wire"
)

// Version is the version of the format of exports.
const Version = 1

// The files of an export. Numbers count from 1 and have six digits at least.
const (
	readmeFile   = "README.txt"
	headFile     = "ledger.json"
	manifestDir  = "manifests/" // NUMBER.json as it was signed, NUMBER.dsse.json its signature
	recordDir    = "documents/" // NUMBER.jsonl, one Record a line
	bytesDir     = "bytes/"     // DOCUMENT ID.xml
	signatureEnd = ".dsse.json"
)

// Documents is how much of the stored documents an export holds.
type Documents string

// The kinds of exports. With DocumentsHashes the cloud computes each SHA-256 from
// the bytes that it stores; with DocumentsBytes whoever checks does so.
const (
	DocumentsNone   Documents = "none"   // the manifests alone
	DocumentsHashes Documents = "hashes" // what is stored, with hashes
	DocumentsBytes  Documents = "bytes"  // and the bytes themselves
)

// Known tells whether d is one of the kinds.
func (d Documents) Known() bool {
	return d == DocumentsNone || d == DocumentsHashes || d == DocumentsBytes
}

// Head is the first file of an export. All of it is the cloud's word.
type Head struct {
	V         int       `json:"v"`
	Collector string    `json:"collector"`
	Exported  time.Time `json:"exported"`
	Documents Documents `json:"documents"`
	Run       string    `json:"run,omitempty"` // the only one that the export holds; empty: all
	// Newest is the hash of the newest manifest that the cloud gave a receipt for.
	Newest string `json:"newest,omitempty"`
	// Keys are those that the manifests were signed with when they came: PKIX DER in
	// base64.
	Keys []string `json:"keys"`
	Runs []Run    `json:"runs"` // that are in the export
}

// Run is where a run is, as the cloud has it.
type Run struct {
	ID    string `json:"id"`
	State string `json:"state"` // running, complete, failed or interrupted
}

// Record is one stored document. SHA256 and Size are of the stored bytes, computed
// when the export was made.
type Record struct {
	ID       string    `json:"id"`
	Run      string    `json:"run"`
	Boot     string    `json:"boot"`
	Device   string    `json:"device"`
	Item     string    `json:"item"`
	SHA256   string    `json:"sha256"`
	Size     int64     `json:"size"`
	Received time.Time `json:"received"`
	// Unreadable is why the stored bytes could not be read; then there is no hash.
	Unreadable string `json:"unreadable,omitempty"`
}

// Manifest is one signed manifest as it is stored.
type Manifest struct {
	Plain    []byte        // the JSON, as it was signed
	Envelope wire.Envelope // without signatures: none was kept
	Received time.Time     // of Write alone: when the cloud stored it
}

func numbered(dir string, n int, end string) string { return fmt.Sprintf("%s%06d%s", dir, n, end) }

// marshalLine is the form of one line of a file of records.
func marshalLine(r Record) ([]byte, error) {
	b, err := json.Marshal(r)
	return append(b, '\n'), err
}

// readme tells whoever has the file and not the program what is in it.
func readme(h Head) string {
	var b strings.Builder
	fmt.Fprintf(&b, `What left the site of collector %s, exported %s.

ledger.json              what this export is of; the word of the cloud
manifests/NUMBER.json    one section of a run's manifest, byte for byte as the collector signed it:
                         each document with its device, item, size and SHA-256, what masking replaced,
                         what was withheld or lost and why. "previous" is the SHA-256 of the manifest
                         before: sha256sum manifests/000001.json is what 000002.json names.
manifests/NUMBER%s  the signature: a DSSE envelope whose payload holds that SHA-256
documents/NUMBER.jsonl   what the cloud stores, one document a line, with the SHA-256 of the stored bytes
bytes/ID.xml             the bytes of a document, where they were asked for

To check all of it with the collector's own certificate or public key, on a machine without a network:

    lwc-cloud ledger verify --file THIS-FILE --key collector.pem
`, h.Collector, h.Exported.UTC().Format(time.RFC3339), signatureEnd)
	return b.String()
}
