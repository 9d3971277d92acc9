package download

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lwc/testdata/badline"
)

// cloud is a real server with TLS that serves one file by http.ServeContent, and
// notes what was asked.
type cloud struct {
	*httptest.Server
	line *badline.Line

	mu     sync.Mutex
	body   []byte
	etag   string
	before func(w http.ResponseWriter, r *http.Request) (handled bool)
	ranges []string
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	body, etag, before := c.body, c.etag, c.before
	c.ranges = append(c.ranges, r.Header.Get("Range"))
	c.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	w.Header().Set("ETag", etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

func (c *cloud) set(f func(*cloud)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c)
}

func (c *cloud) asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ranges)
}

// start serves size bytes behind a line that can be broken.
func start(t *testing.T, size int) (*cloud, Client, Wanted) {
	t.Helper()
	body := make([]byte, size)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(body)
	c := &cloud{body: body, etag: `"first"`}
	c.Server = httptest.NewUnstartedServer(c)
	c.Config.ErrorLog = log.New(io.Discard, "", 0)
	c.StartTLS()
	t.Cleanup(c.Close)
	c.line = badline.Start(t, c.Listener.Addr().String())
	client := Client{Silence: 15 * time.Second, Pause: time.Millisecond, Tries: 5,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, c.line.Addr())
		},
		TLS: func(host string) *tls.Config {
			conf := c.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
			conf.ServerName = host
			return conf
		}}
	return c, client, wanted(body, filepath.Join(t.TempDir(), "file"))
}

func wanted(body []byte, path string) Wanted {
	sum := sha256.Sum256(body)
	return Wanted{URL: "https://example.com/releases/1.2.0/root.zst", Path: path, Size: int64(len(body)), SHA256: hex.EncodeToString(sum[:])}
}

// came fails unless the file is there, whole.
func came(t *testing.T, c *cloud, w Wanted) {
	t.Helper()
	got, err := os.ReadFile(w.Path)
	if err != nil || !bytes.Equal(got, c.body) {
		t.Fatalf("%d of %d bytes, %v", len(got), len(c.body), err)
	}
	if info, _ := os.Stat(w.Path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestWhole(t *testing.T) {
	c, client, w := start(t, 3<<20)
	var told int64
	if err := client.File(t.Context(), w, func(have int64) { told = have }); err != nil {
		t.Fatal(err)
	}
	came(t, c, w)
	if told != w.Size || len(c.asked()) != 1 {
		t.Errorf("told %d, asked %q", told, c.asked())
	}
	// There already: nothing is asked for.
	if err := client.File(t.Context(), w, nil); err != nil || len(c.asked()) != 1 {
		t.Errorf("%v, %q", err, c.asked())
	}
}

// The line is cut again and again: each time the rest is asked for, no byte twice
// but those that were under way.
func TestCutLines(t *testing.T) {
	c, client, w := start(t, 32<<20)
	var cuts []int64
	err := client.File(t.Context(), w, func(have int64) {
		// What is under way when the line is cut may still come.
		if n := len(cuts); n < 4 && len(c.asked()) == n+1 && (n == 0 || have > cuts[n-1]+1<<20) {
			cuts = append(cuts, have)
			if n%2 == 0 {
				c.line.Cut()
			} else {
				c.line.Reset()
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	came(t, c, w)
	asked := c.asked()
	if len(cuts) < 3 || len(asked) != len(cuts)+1 || asked[0] != "" {
		t.Fatalf("cut at %v, asked %q", cuts, asked)
	}
	for i, at := range cuts {
		var from int64
		if _, err := fmt.Sscanf(asked[i+1], "bytes=%d-", &from); err != nil || from < at {
			t.Errorf("after %d bytes %q was asked for: %v", at, asked[i+1], err)
		}
	}
}

// A connection that says nothing any more is given up, and the next one goes on.
func TestSilence(t *testing.T) {
	c, client, w := start(t, 32<<20)
	client.Silence = 300 * time.Millisecond
	quiet := false
	err := client.File(t.Context(), w, func(have int64) {
		if !quiet && have > 1<<20 {
			quiet = true
			c.line.HalfOpen()
		}
	})
	if err != nil || !quiet {
		t.Fatalf("%v, %v", err, quiet)
	}
	came(t, c, w)
	if asked := c.asked(); len(asked) != 2 || !strings.HasPrefix(asked[1], "bytes=") {
		t.Errorf("asked %q", asked)
	}
}

// So is one that says nothing any more in the middle of a short text.
func TestSilenceInAShortText(t *testing.T) {
	c, client, w := start(t, 1000)
	client.Silence, client.Tries = 200*time.Millisecond, 2
	c.set(func(c *cloud) {
		c.before = func(rw http.ResponseWriter, r *http.Request) bool {
			rw.Header().Set("Content-Length", "1000")
			_, _ = rw.Write(make([]byte, 10))
			_ = http.NewResponseController(rw).Flush()
			<-r.Context().Done()
			return true
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := client.Small(ctx, w.URL, 1000); !errors.Is(err, errBroken) || len(c.asked()) != 2 {
		t.Errorf("%v after %q", err, c.asked())
	}
}

// What an earlier process left is gone on with; what it left and is wrong, is not.
func TestLeftBehind(t *testing.T) {
	c, client, w := start(t, 1<<20)
	if err := os.WriteFile(w.Path, c.body[:300000], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := client.File(t.Context(), w, nil); err != nil || !slices.Equal(c.asked(), []string{"bytes=300000-"}) {
		t.Fatalf("%v, %q", err, c.asked())
	}
	came(t, c, w)
	for _, left := range [][]byte{[]byte("wrong"), make([]byte, len(c.body)), make([]byte, len(c.body)+1)} {
		if err := os.WriteFile(w.Path, left, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := client.File(t.Context(), w, nil); err != nil {
			t.Fatalf("%d bytes: %v", len(left), err)
		}
		came(t, c, w)
	}
}

// The server's file becomes another one in the middle: parts of the two are not put
// together, also where the server knows nothing of If-Range.
func TestChangedOnServer(t *testing.T) {
	for _, about := range []string{"If-Range", "no If-Range"} {
		t.Run(about, func(t *testing.T) { changedOnServer(t, about == "If-Range") })
	}
}

func changedOnServer(t *testing.T, known bool) {
	c, client, w := start(t, 32<<20)
	c.set(func(c *cloud) {
		c.before = func(_ http.ResponseWriter, r *http.Request) bool {
			if !known {
				r.Header.Del("If-Range")
			}
			return false
		}
	})
	old := slices.Clone(c.body)
	next := slices.Clone(old)
	next[0] ^= 1
	w = wanted(next, w.Path)
	changed := false
	err := client.File(t.Context(), w, func(have int64) {
		if !changed && have > 0 {
			changed = true
			c.set(func(c *cloud) { c.body, c.etag = next, `"second"` })
			c.line.Reset()
		}
	})
	if err != nil || !changed {
		t.Fatal(err, changed)
	}
	came(t, c, w)
}

// What is not what was asked for is not kept.
func TestWrongContent(t *testing.T) {
	for _, k := range []struct {
		about string
		body  func([]byte) []byte
		words string
	}{
		{"changed", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, "SHA-256"},
		{"longer", func(b []byte) []byte { return append(b, 'x') }, "instead of"},
		{"shorter", func(b []byte) []byte { return b[:len(b)-1] }, "instead of"},
	} {
		t.Run(k.about, func(t *testing.T) {
			c, client, w := start(t, 1<<20)
			c.set(func(c *cloud) { c.body = k.body(slices.Clone(c.body)) })
			err := client.File(t.Context(), w, nil)
			if !errors.Is(err, ErrContent) || !strings.Contains(err.Error(), k.words) {
				t.Errorf("%v", err)
			}
			if _, err := os.Stat(w.Path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("it was kept: %v", err)
			}
		})
	}
}

// A body without a length that does not end is not read to its end.
func TestEndless(t *testing.T) {
	c, client, w := start(t, 1<<20)
	c.set(func(c *cloud) {
		c.before = func(rw http.ResponseWriter, r *http.Request) bool {
			for piece := make([]byte, 64<<10); r.Context().Err() == nil; {
				if _, err := rw.Write(piece); err != nil {
					return true
				}
			}
			return true
		}
	})
	if err := client.File(t.Context(), w, nil); !errors.Is(err, ErrContent) {
		t.Errorf("%v", err)
	}
	if _, err := client.Small(t.Context(), w.URL, 1000); !errors.Is(err, ErrContent) {
		t.Errorf("%v", err)
	}
}

// Refusals end it at once, in the server's words; trouble is waited out.
func TestAnswers(t *testing.T) {
	c, client, w := start(t, 1<<20)
	busy := 3
	c.set(func(c *cloud) {
		c.before = func(rw http.ResponseWriter, r *http.Request) bool {
			if busy--; busy >= 0 {
				rw.Header().Set("Retry-After", "0")
				http.Error(rw, "busy", http.StatusServiceUnavailable)
			}
			return busy >= 0
		}
	})
	if err := client.File(t.Context(), w, nil); err != nil || len(c.asked()) != 4 {
		t.Errorf("%v, %q", err, c.asked())
	}
	for code, words := range map[int]string{
		http.StatusForbidden:           "403 Forbidden): \\not \x1byours",
		http.StatusGone:                "410 Gone)",
		http.StatusMovedPermanently:    "301 Moved Permanently)",
		http.StatusInternalServerError: "giving up after 5 attempts that brought nothing",
	} {
		c.set(func(c *cloud) {
			c.before = func(rw http.ResponseWriter, r *http.Request) bool {
				rw.Header().Set("Location", "https://elsewhere.example/")
				http.Error(rw, "\\not \x1byours", code)
				return true
			}
		})
		_, err := client.Small(t.Context(), w.URL, 1000)
		if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(words, "\x1b", "")) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%d: %v", code, err)
		}
	}
	if _, err := client.Small(t.Context(), "http://example.com/", 1000); !errors.Is(err, errPlain) {
		t.Errorf("%v", err)
	}
}

// A line that is dead is given up, and the end of the context ends it at once.
func TestGivesUp(t *testing.T) {
	c, client, w := start(t, 1<<20)
	c.line.Refuse()
	if err := client.File(t.Context(), w, nil); err == nil || !strings.Contains(err.Error(), "giving up after 5 attempts") {
		t.Errorf("%v", err)
	}
	c.line.Heal()
	c.line.Rate(256 << 10) // so that the file is not there before the line is dead
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	err := client.File(ctx, w, func(have int64) { cancel(stop); c.line.BlackHole() })
	if !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}

// Nobody is believed but whom the configuration believes.
func TestStranger(t *testing.T) {
	_, client, w := start(t, 1000)
	client.TLS = func(host string) *tls.Config { return &tls.Config{ServerName: host} }
	if err := client.File(t.Context(), w, nil); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v", err)
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("3")
	f.Add("-1")
	f.Add("Wed, 21 Oct 2026 07:28:00 GMT")
	now := time.Date(2026, 10, 21, 7, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, v string) {
		if d := retryAfter(v, now); d < 0 || d > maxAfter {
			t.Errorf("%q: %v", v, d)
		}
	})
}
