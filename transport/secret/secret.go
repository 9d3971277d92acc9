// Package secret holds values that must never be printed: passwords, private
// keys, tokens.
//
// A Text redacts itself in every place where Go turns a value into text (fmt,
// encoding/json, encoding, log/slog); the bytes are reached only by Reveal,
// so that a search for that one word finds every use. Wipe overwrites the
// bytes in place. Go's collector does not move heap objects, so the array that
// a Text owns is the only copy that this package makes; copies made by callers
// are theirs to wipe.
package secret

import (
	"crypto/subtle"
	"log/slog"
)

// Redacted is what a Text shows instead of its bytes.
const Redacted = "[redacted]"

// Text is one secret. The zero value is empty. Copies of a Text share its
// bytes: wiping one wipes all.
type Text struct {
	b *[]byte
}

// New takes ownership of b: the caller must not use b afterwards.
func New(b []byte) Text { return Text{b: &b} }

// FromString copies s into a Text. The string itself cannot be wiped; use New
// where the source is bytes.
func FromString(s string) Text { return New([]byte(s)) }

// Reveal returns the bytes themselves, not a copy. They read as zeros, and
// Reveal returns nil, after Wipe.
func (t Text) Reveal() []byte {
	if t.b == nil {
		return nil
	}
	return *t.b
}

// Empty tells whether there is nothing to reveal.
func (t Text) Empty() bool { return len(t.Reveal()) == 0 }

// Equal compares two secrets in a time that depends on their lengths only.
func (t Text) Equal(o Text) bool {
	return subtle.ConstantTimeCompare(t.Reveal(), o.Reveal()) == 1
}

// Wipe overwrites the bytes with zeros and forgets them.
func (t Text) Wipe() {
	if t.b == nil {
		return
	}
	clear(*t.b)
	*t.b = nil
}

// String implements fmt.Stringer.
func (t Text) String() string { return Redacted }

// GoString implements fmt.GoStringer.
func (t Text) GoString() string { return Redacted }

// LogValue implements slog.LogValuer.
func (t Text) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalText implements encoding.TextMarshaler.
func (t Text) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// UnmarshalText implements encoding.TextUnmarshaler, so that configuration
// files can be decoded straight into a Text.
func (t *Text) UnmarshalText(b []byte) error {
	*t = New(append([]byte(nil), b...))
	return nil
}
