package junostest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// SentDocument is one document that a device has sent: the bytes of a message
// from its first '<' to the byte before the framing that ends it.
type SentDocument struct {
	Time   time.Time `json:"time"`
	Device string    `json:"device"`
	RPC    string    `json:"rpc"`  // operation, or the command as typed
	Item   string    `json:"item"` // of the catalogue; empty: none
	SHA256 string    `json:"sha256"`
	Bytes  int64     `json:"bytes"`
}

const maxSent = 1 << 17 // 24 MiB; a run of 1,000 devices sends 17,000

// sentLog remembers the newest maxSent documents and writes all to out.
type sentLog struct {
	mu  sync.Mutex // guards all that follows; out gets whole lines
	all []SentDocument
	out io.Writer
	off bool // keeps and writes nothing
}

// add logs a document that is about to be sent.
func (l *sentLog) add(device, rpc, item string, doc []byte) error {
	if l.off {
		return nil
	}
	return l.addSum(device, rpc, item, sha256.Sum256(doc), int64(len(doc)))
}

// addSum logs a document of that hash and length, the end of which is about to be sent.
func (l *sentLog) addSum(device, rpc, item string, sum [sha256.Size]byte, size int64) error {
	if l.off {
		return nil
	}
	s := SentDocument{Time: time.Now().UTC(), Device: device, RPC: rpc, Item: item, SHA256: hex.EncodeToString(sum[:]), Bytes: size}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) >= maxSent {
		l.all = append(l.all[:0], l.all[maxSent/2:]...)
	}
	l.all = append(l.all, s)
	if l.out == nil {
		return nil
	}
	line, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encoding the log of sent documents: %w", err)
	}
	if _, err := l.out.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("writing the log of sent documents: %w", err)
	}
	return nil
}

func (l *sentLog) snapshot() []SentDocument {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}
