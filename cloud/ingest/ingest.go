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
	// MaxDocument bounds one document, in bytes; 0 means 64 MiB.
	MaxDocument int64
	// Memory bounds the documents of all streams between their inflation and
	// their commit, in bytes; 0 means 256 MiB. It is at least MaxDocument.
	Memory int64
}

const (
	defaultMaxDocument = 64 << 20
	defaultMemory      = 256 << 20
)

// A batch is committed when it has maxBatch documents or maxBatchBytes, or when
// its first answer has waited for maxDelay.
const (
	maxBatch      = wire.MaxReceipts
	maxBatchBytes = 16 << 20
	maxDelay      = 250 * time.Millisecond
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
	cfg.Memory = max(cfg.Memory, cfg.MaxDocument)
	return &Ingest{cfg: cfg, memory: semaphore.NewWeighted(cfg.Memory)}, nil
}

// Stream returns the stream of one collector, whose manifests must be signed by
// key.
func (i *Ingest) Stream(collector string, key crypto.PublicKey) *Stream {
	return &Stream{in: i, collector: collector, key: key,
		asm: wire.Assembler{MaxSize: i.cfg.MaxDocument, Key: i.cfg.IngestKey}}
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
