package edp

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"lwc/transport/secret"
)

// The second recommended parameters of RFC 9106 §4: 64 MiB, three passes.
const (
	argonTime    = 3
	argonMemory  = 64 << 10 // KiB
	argonThreads = 4
	saltLen      = 16
	hashLen      = 32
)

const (
	minPassword = 10
	maxPassword = 1024 // bytes; more would only cost time
)

func checkPassword(p secret.Text) error {
	switch n := len(p.Reveal()); {
	case n < minPassword:
		return fmt.Errorf("a password needs at least %d characters: %w", minPassword, ErrInvalid)
	case n > maxPassword:
		return fmt.Errorf("a password has at most %d bytes: %w", maxPassword, ErrInvalid)
	}
	return nil
}

// hashPassword returns a PHC string.
func (s *Store) hashPassword(ctx context.Context, p secret.Text) (string, error) {
	if err := checkPassword(p); err != nil {
		return "", err
	}
	salt := make([]byte, saltLen)
	rand.Read(salt)
	key, err := s.argon(ctx, p, salt)
	if err != nil {
		return "", err
	}
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		argonMemory, argonTime, argonThreads, b64.EncodeToString(salt), b64.EncodeToString(key)), nil
}

// matches tells whether p is the password of a PHC string. An empty string
// matches nothing, and takes as long.
func (s *Store) matches(ctx context.Context, p secret.Text, phc string) (bool, error) {
	salt, want := parsePHC(phc)
	if len(p.Reveal()) > maxPassword {
		return false, nil
	}
	key, err := s.argon(ctx, p, salt)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(key, want) == 1, nil
}

// parsePHC reads what hashPassword wrote. Of anything else it makes a salt and
// a hash that no password has.
func parsePHC(phc string) (salt, hash []byte) {
	parts := strings.Split(phc, "$")
	prefix := fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, argonMemory, argonTime, argonThreads)
	if len(parts) == 6 && strings.HasPrefix(phc, prefix) {
		salt, errSalt := base64.RawStdEncoding.DecodeString(parts[4])
		hash, errHash := base64.RawStdEncoding.DecodeString(parts[5])
		if errSalt == nil && errHash == nil && len(hash) == hashLen {
			return salt, hash
		}
	}
	return make([]byte, saltLen), nil
}

// argon hashes when it is its turn.
func (s *Store) argon(ctx context.Context, p secret.Text, salt []byte) ([]byte, error) {
	select {
	case s.hashing <- struct{}{}:
		defer func() { <-s.hashing }()
		return argon2.IDKey(p.Reveal(), salt, argonTime, argonMemory, argonThreads, hashLen), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting to check a password: %w", context.Cause(ctx))
	}
}
