package wire

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"lwc/transport/secret"
)

// ErrToken says that a text is not a whole token.
var ErrToken = errors.New("the token is damaged or incomplete: copy it again, whole, on one line")

// The two sorts of token. They have one form and different prefixes, so that
// one given in place of the other is told from a damaged one.
const (
	EnrolToken TokenSort = "lwce1_" // enrols one collector, or some
	APIToken   TokenSort = "lwca1_" // lets a client use the API
)

// TokenSort is the prefix of a token.
type TokenSort string

// Token is a secret together with what its holder needs to use it safely: where
// to go, and which certification authority to believe there.
type Token struct {
	Sort   TokenSort
	URL    string   // https://host[:port] of the cloud
	CAPin  [32]byte // SPKIHash of the cloud's CA certificate
	ID     string   // public name of the token
	Secret secret.Text
	// Endpoints are what the holder has to reach besides the URL, as host:port: a
	// broker elsewhere, say. At most MaxTokenEndpoints.
	Endpoints []string
}

type tokenJSON struct {
	URL       string   `json:"u"`
	CAPin     []byte   `json:"p"`
	ID        string   `json:"i"`
	Secret    []byte   `json:"s"`
	Endpoints []string `json:"e,omitempty"`
}

const (
	// tokenSecretLen is 128 bits.
	tokenSecretLen = 16
	// MaxTokenEndpoints bounds Token.Endpoints: a cloud has a broker or two, and
	// the whole token has to fit on a line that people copy.
	MaxTokenEndpoints = 8
	// httpsPort is RFC 9110 section 4.2.2.
	httpsPort = "443"
)

// Reach is all that the holder of the token has to reach, as host:port: where the
// URL leads, and the Endpoints. Each stands there once. The Secret is not needed
// for it.
func (t Token) Reach() ([]string, error) {
	own, err := URLHostPort(t.URL)
	if err != nil {
		return nil, err
	}
	out := []string{own}
	for _, e := range t.Endpoints {
		if !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	return out, nil
}

// URLHostPort is where an https URL leads, as host:port.
func URLHostPort(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", fmt.Errorf("reading a URL: %w", err)
	}
	hostPort := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), httpsPort))
	return hostPort, checkHostPort(hostPort)
}

// checkHostPort tells what certainly cannot be dialled.
func checkHostPort(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("reading an endpoint: %w", err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); host == "" || err != nil || n == 0 {
		return fmt.Errorf("reading an endpoint: %q is not host:port", s)
	}
	return nil
}

// Encode returns the token as one word of letters, digits, '-' and '_'. Its
// last eight digits are a checksum against copying errors.
func (t Token) Encode() secret.Text {
	b, err := json.Marshal(tokenJSON{t.URL, t.CAPin[:], t.ID, t.Secret.Reveal(), t.Endpoints})
	if err != nil {
		panic(err) // strings and bytes always encode
	}
	body := base64.RawURLEncoding.EncodeToString(b)
	return secret.FromString(fmt.Sprintf("%s%s%08x", t.Sort, body, crc32.ChecksumIEEE([]byte(body))))
}

// ParseToken reads a token of the wanted sort. Errors never repeat the text.
func ParseToken(sort TokenSort, text secret.Text) (Token, error) {
	s := string(bytes.TrimSpace(text.Reveal()))
	body, ok := strings.CutPrefix(s, string(sort))
	if !ok {
		if strings.HasPrefix(s, string(EnrolToken)) || strings.HasPrefix(s, string(APIToken)) {
			return Token{}, fmt.Errorf("reading a token: it is one of another sort (it must begin with %s)", sort)
		}
		return Token{}, fmt.Errorf("reading a token: it does not begin with %s: %w", sort, ErrToken)
	}
	if len(body) < 8 {
		return Token{}, fmt.Errorf("reading a token: %w", ErrToken)
	}
	body, sum := body[:len(body)-8], body[len(body)-8:]
	if fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(body))) != sum {
		return Token{}, fmt.Errorf("reading a token: its checksum does not match: %w", ErrToken)
	}
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return Token{}, fmt.Errorf("reading a token: %w", ErrToken)
	}
	defer clear(raw)
	return decodeToken(sort, raw)
}

func decodeToken(sort TokenSort, raw []byte) (Token, error) {
	var j tokenJSON
	if err := json.Unmarshal(raw, &j); err != nil {
		return Token{}, fmt.Errorf("reading a token: %w", ErrToken)
	}
	u, err := url.Parse(j.URL)
	if err == nil {
		_, err = URLHostPort(j.URL)
	}
	if err != nil || u.Scheme != "https" {
		return Token{}, fmt.Errorf("reading a token: its cloud URL is not an https address: %w", ErrToken)
	}
	if len(j.CAPin) != 32 || j.ID == "" || len(j.Secret) != tokenSecretLen {
		return Token{}, fmt.Errorf("reading a token: %w", ErrToken)
	}
	for _, e := range j.Endpoints {
		if len(j.Endpoints) > MaxTokenEndpoints || checkHostPort(e) != nil {
			return Token{}, fmt.Errorf("reading a token: its list of endpoints cannot be used: %w", ErrToken)
		}
	}
	return Token{Sort: sort, URL: j.URL, CAPin: [32]byte(j.CAPin), ID: j.ID, Secret: secret.New(j.Secret), Endpoints: j.Endpoints}, nil
}
