package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strconv"
	"strings"
)

const (
	// maxHeader bounds what a proxy may send before the tunnel: it is read into
	// memory before anybody knows who answers.
	maxHeader = 16 << 10
	// maxInterim is how many answers 1xx may come before the final one.
	maxInterim = 8
	// maxDetail and maxSchemes bound what is told of it.
	maxDetail  = 120
	maxSchemes = 8
)

// errNotHTTP: what answers does not speak HTTP/1.
var errNotHTTP = errors.New("the answer is not HTTP")

// answer is what a proxy says to CONNECT.
type answer struct {
	status  int
	reason  string
	schemes []string // of Proxy-Authenticate
}

// readAnswer reads the final answer, and returns what was read past its end. Of
// a 2xx these are the first bytes of the tunnel: it has no content, whatever its
// fields say (RFC 9110 section 9.3.6).
func readAnswer(from io.Reader) (answer, []byte, error) {
	limited := &io.LimitedReader{R: from, N: maxHeader}
	buffered := bufio.NewReaderSize(limited, 1024)
	lines := textproto.NewReader(buffered)
	for range maxInterim {
		a, err := readOne(lines)
		if err != nil {
			return answer{}, nil, explain(err, limited.N <= 0)
		}
		if a.status >= 200 {
			rest, err := buffered.Peek(buffered.Buffered())
			return a, append([]byte(nil), rest...), err
		}
	}
	return answer{}, nil, fmt.Errorf("%w: nothing but interim answers", errNotHTTP)
}

func explain(err error, full bool) error {
	var malformed textproto.ProtocolError
	switch {
	case full:
		return fmt.Errorf("%w: its header is longer than %d bytes", errNotHTTP, maxHeader)
	case errors.As(err, &malformed):
		return fmt.Errorf("%w: %w", errNotHTTP, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the connection ended before it", errNotHTTP)
	case errors.Is(err, errNotHTTP):
		return err
	}
	return fmt.Errorf("reading the answer: %w", err)
}

func readOne(lines *textproto.Reader) (answer, error) {
	line, err := lines.ReadLine()
	if err != nil {
		return answer{}, err
	}
	a, err := parseStatus(line)
	if err != nil {
		return answer{}, err
	}
	fields, err := lines.ReadMIMEHeader()
	if err != nil {
		return answer{}, err
	}
	for _, challenge := range fields.Values("Proxy-Authenticate") {
		if scheme, _, _ := strings.Cut(strings.TrimSpace(challenge), " "); scheme != "" && len(a.schemes) < maxSchemes {
			a.schemes = append(a.schemes, printable(scheme))
		}
	}
	return a, nil
}

// parseStatus parses "HTTP/1.1 200 Connection established" (RFC 9112 section 4).
func parseStatus(line string) (answer, error) {
	version, rest, _ := strings.Cut(line, " ")
	code, reason, _ := strings.Cut(rest, " ")
	if version != "HTTP/1.1" && version != "HTTP/1.0" {
		return answer{}, fmt.Errorf("%w: it begins with %q", errNotHTTP, printable(line))
	}
	status, err := strconv.ParseUint(code, 10, 16)
	if err != nil || len(code) != 3 || status < 100 || status > 599 {
		return answer{}, fmt.Errorf("%w: its status is %q", errNotHTTP, printable(code))
	}
	return answer{status: int(status), reason: printable(reason)}, nil
}

// printable bounds what a stranger said, and takes away what a terminal or a log
// would act on.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), maxDetail)]
}
