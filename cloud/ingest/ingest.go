package ingest

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/semaphore"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// Publisher sends messages down to collectors.
type Publisher interface {
	// Publish returns when the message left or cannot leave. A lost receipt
	// does no harm: the collector sends its document again.
	Publish(ctx context.Context, topic string, payload []byte) error
}

// Config configures an Ingest.
type Config struct {
	Store  *edp.Store
	Bus    Publisher
	Topics wire.Topics   // zero: the default prefix
	Key    crypto.Signer // the config-signing key; it signs receipts
	// IngestKey opens sealed bodies; its zero value refuses them.
	IngestKey wire.BootKey
	// MaxDocument bounds one document, in bytes; 0 means 1 GiB.
	MaxDocument int64
	// Memory bounds the documents of all streams between their inflation and
	// their commit, in bytes; 0 means 256 MiB. It is at least 64 MiB, which a
	// manifest may have. Large documents do not count: they are never in memory.
	Memory int64
	// Window bounds what a collector sends without a receipt, in bytes, while the
	// store keeps up; 0 means 16 MiB.
	Window int64
}

const (
	defaultMaxDocument = 1 << 30
	defaultMemory      = 256 << 20
	defaultWindow      = 16 << 20
)

// A batch is committed when it has maxBatch frames or maxBatchBytes, or when
// its first answer has waited for maxDelay.
const (
	maxBatch      = 64
	maxBatchBytes = 16 << 20
	maxDelay      = 250 * time.Millisecond
)

const (
	// wholeBytes is how large a document may be that is inflated in memory. One that
	// is larger, or has parts, goes to the store as it came.
	wholeBytes = 1 << 20
	// sharedBytes bounds the bodies that share a frame: 32 of up to 128 KiB.
	sharedBytes = wire.MaxDocs * (128 << 10)
	// maxManifest bounds one section: 64 devices take half of a megabyte.
	maxManifest = 64 << 20
)

// Ingest makes streams that share a store and a memory budget.
type Ingest struct {
	cfg    Config
	memory *semaphore.Weighted
}

// New makes an Ingest.
func New(cfg Config) (*Ingest, error) {
	if cfg.Store == nil || cfg.Bus == nil || cfg.Key == nil {
		return nil, errors.New("making the ingest: a store, a bus and a signing key are needed")
	}
	if cfg.MaxDocument == 0 {
		cfg.MaxDocument = defaultMaxDocument
	}
	if cfg.Memory == 0 {
		cfg.Memory = defaultMemory
	}
	if cfg.Window == 0 {
		cfg.Window = defaultWindow
	}
	cfg.Memory = max(cfg.Memory, maxManifest)
	return &Ingest{cfg: cfg, memory: semaphore.NewWeighted(cfg.Memory)}, nil
}

// Stream returns the stream of one collector, whose manifests must be signed by
// key.
func (i *Ingest) Stream(collector string, key crypto.PublicKey) *Stream {
	s := &Stream{in: i, collector: collector, key: key, window: newWindow(i.cfg.Window),
		asm: wire.Assembler{MaxSize: maxManifest, Key: i.cfg.IngestKey}}
	return s
}

// send signs a message and publishes it.
func (i *Ingest) send(ctx context.Context, collector string, k wire.Kind, v any) error {
	b, err := wire.Sign(k, v, i.cfg.Key)
	if err != nil {
		return err
	}
	if err := i.cfg.Bus.Publish(ctx, i.cfg.Topics.Name(collector, wire.Down, k), b); err != nil {
		return fmt.Errorf("sending a %s: %w", k, err)
	}
	return nil
}
