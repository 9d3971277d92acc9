package shelf

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"lwc/cloud/edp"
	"lwc/cloud/enrol"
	"lwc/cloud/pki"
	"lwc/image/release"
)

// Pattern is the path that Handler serves.
const Pattern = "GET /releases/{version}/{file}"

const (
	// standstill is how long a box may take nothing before it is given up.
	standstill = 2 * time.Minute
	// recheck is how often it is looked whether a box that loads may still do so.
	recheck = 10 * time.Second
	// busyFor is when a box that was turned away may come again, in seconds.
	busyFor = "30"
)

// What a client can be refused for.
var (
	errNobody    = errors.New("the certificate of an enrolled collector is needed")
	errWithdrawn = errors.New("this release was withdrawn")
)

// Handler serves the manifest and the packed files of published releases to active
// collectors, with strong validators and ranges (RFC 9110 sections 8.8.3 and 14).
func (s *Shelf) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(Pattern, s.serve)
	return mux
}

func (s *Shelf) serve(w http.ResponseWriter, r *http.Request) {
	id, err := s.client(r)
	if err != nil {
		s.refuse(w, r, id, err)
		return
	}
	if !s.loads.begin(id) {
		w.Header().Set("Retry-After", busyFor)
		http.Error(w, "many boxes load releases now: come again", http.StatusServiceUnavailable)
		return
	}
	defer s.loads.end(id)
	if err := s.send(w, r, id); err != nil {
		s.refuse(w, r, id, err)
	}
}

// loads counts the files that are served now.
type loads struct {
	mu  sync.Mutex // guards the rest; all is the sum of what each box has
	all int
	of  map[string]int
}

// begin takes a place for a box, and returns false where there is none for it: one box
// alone does not keep the others away.
func (l *loads) begin(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= loadsAtOnce || l.of[id] >= loadsOfOne {
		return false
	}
	l.all++
	l.of[id]++
	return true
}

// end gives the place back.
func (l *loads) end(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.of[id]--; l.of[id] == 0 {
		delete(l.of, id)
	}
}

// client returns the active collector behind a request.
func (s *Shelf) client(r *http.Request) (string, error) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return "", errNobody
	}
	cert := r.TLS.VerifiedChains[0][0]
	id, err := pki.CollectorOf(cert)
	if err != nil {
		return "", errNobody
	}
	c, err := s.Store.Collector(r.Context(), id)
	if errors.Is(err, edp.ErrNotFound) {
		return id, errNobody
	}
	if err == nil {
		if err = enrol.Active(c, cert); err != nil {
			err = fmt.Errorf("%w: %w", errNobody, err)
		}
	}
	return id, err
}

// send answers with a file. An error means that nothing was sent.
func (s *Shelf) send(w http.ResponseWriter, r *http.Request, id string) error {
	rel, err := s.Store.Release(r.Context(), r.PathValue("version"))
	if err != nil {
		return err
	}
	if rel.State != edp.ReleasePublished {
		return errWithdrawn
	}
	name := r.PathValue("file")
	digest, kind := digestOf(rel, name)
	if digest == "" {
		return edp.ErrNotFound
	}
	f, err := os.Open(filepath.Join(s.Dir, rel.Version, name)) // both are words of the store
	if err != nil {
		return fmt.Errorf("opening a file of release %s: %w", rel.Version, err)
	}
	defer f.Close()
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "private, no-transform")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", `"`+digest+`"`)
	out := &patient{ResponseWriter: w, control: http.NewResponseController(w), next: time.Now().Add(recheck),
		still: func() error { _, err := s.client(r); return err }}
	s.Logger.Info("a box loads a release", "collector", id, "version", rel.Version, "file", name, "range", tidyRange(r.Header.Get("Range")))
	http.ServeContent(out, r, name, time.Time{}, f)
	if out.stopped != nil {
		s.Logger.Warn("a box is stopped while it loads a release", "collector", id, "reason", out.stopped)
		panic(http.ErrAbortHandler) // the answer has begun: an end in the middle tells that it is not whole
	}
	return nil
}

// digestOf returns the hash of a file that a release has, and its type; empty where it
// has none of that name.
func digestOf(r edp.Release, name string) (digest, kind string) {
	if name == release.ManifestName {
		return r.Digest, "application/json"
	}
	for _, f := range r.Files {
		if f.PackedName == name {
			return f.PackedSHA256, "application/zstd"
		}
	}
	return "", ""
}

func tidyRange(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s[:min(len(s), 60)])
}

// refuse answers with one line. What is our own fault is logged and not told.
func (s *Shelf) refuse(w http.ResponseWriter, r *http.Request, id string, err error) {
	status, text := http.StatusInternalServerError, "the cloud could not do this: its log says why"
	switch {
	case errors.Is(err, errNobody), errors.Is(err, edp.ErrRevoked):
		status, text = http.StatusForbidden, errNobody.Error()
	case errors.Is(err, errWithdrawn):
		status, text = http.StatusGone, err.Error()
	case errors.Is(err, edp.ErrNotFound):
		status, text = http.StatusNotFound, "there is no such file"
	case r.Context().Err() != nil:
		return
	default:
		s.Logger.Error("serving a release", "collector", id, "path", r.URL.Path, "error", err)
	}
	if status == http.StatusForbidden {
		s.Logger.Warn("a release was refused", "collector", id, "from", r.RemoteAddr, "reason", err)
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, text, status)
}

// patient is an answer that takes as long as the box needs: a large file over a slow
// line is cut off only when the box takes nothing, or may have it no more.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
	still   func() error // whether the box may have it
	next    time.Time    // when to look again
	stopped error
}

// Write implements io.Writer.
func (p *patient) Write(b []byte) (int, error) {
	if p.stopped != nil {
		return 0, p.stopped
	}
	if now := time.Now(); now.After(p.next) {
		p.next = now.Add(recheck)
		if err := p.still(); err != nil {
			p.stopped = err
			return 0, err
		}
	}
	err := p.control.SetWriteDeadline(time.Now().Add(standstill))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.ResponseWriter.Write(b)
}

// ReadFrom keeps io.Copy from handing the file to the kernel past Write.
func (p *patient) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{p}, r)
}

// Unwrap is for http.ResponseController.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }
