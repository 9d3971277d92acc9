package enrol

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode"

	"lwc/cloud/pki"
	"lwc/transport/secret"
)

const (
	// tokenSecretLen is 128 bits.
	tokenSecretLen = 16
	// maxBasic bounds the header: the id of a token has 16 characters, its
	// secret 22.
	maxBasic = 256
)

// basicToken reads token-id:secret from an Authorization header. The secret is
// its 16 bytes as base64url, without padding.
func basicToken(header string) (id string, sec secret.Text, err error) {
	scheme, cred, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "Basic") || len(cred) > maxBasic {
		return "", secret.Text{}, errNoToken
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(cred))
	if err != nil {
		return "", secret.Text{}, errNoToken
	}
	defer clear(raw)
	name, pass, ok := bytes.Cut(raw, []byte(":"))
	if !ok || len(name) == 0 {
		return "", secret.Text{}, errNoToken
	}
	key := make([]byte, base64.RawURLEncoding.DecodedLen(len(pass)))
	n, err := base64.RawURLEncoding.Strict().Decode(key, pass)
	if err != nil || n != tokenSecretLen {
		clear(key)
		return "", secret.Text{}, errNoToken
	}
	return string(name), secret.New(key), nil
}

// stripSpace removes the line breaks that base64 in MIME form has.
func stripSpace(b []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, b)
}

// nameOf names a collector that proposes no id after its key, so that it has the
// same name when it asks again.
func nameOf(r pki.Request) string {
	d := sha256.Sum256([]byte(r.SPKI))
	return "lwc-" + hex.EncodeToString(d[:6])
}
