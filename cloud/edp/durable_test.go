package edp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// childDB makes the test binary store documents until it is killed.
const childDB = "LWC_EDP_TEST_CHILD"

// childParts makes it store documents in parts.
const childParts = "LWC_EDP_TEST_CHILD_PARTS"

// promise is what the store said of a document in parts.
type promise struct {
	ID   string
	Kept int
}

// partsForever prints how many parts of which document the store says are kept,
// and which document is stored (Kept is 0).
func partsForever(path string) error {
	ctx := context.Background()
	s, err := edp.Open(ctx, path)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	for run := wire.NewID(); ; {
		h := wire.Header{ID: wire.NewID(), Type: wire.KindFact, Collector: site, Boot: run, Run: run, Device: "edge-1", Item: wire.NewID()}
		frames, err := wire.Split(h, noise(700<<10), wire.Packing{})
		if err != nil {
			return err
		}
		for _, f := range frames {
			h, body, err := wire.ParseFrame(f)
			if err != nil {
				return err
			}
			_, st, err := s.Put(ctx, nil, []edp.Part{{Header: h, Body: body, Max: 1 << 30}})
			if err != nil {
				return err
			}
			if err := out.Encode(promise{h.ID, st[0].Kept}); err != nil {
				return err
			}
		}
		if _, err := s.Finish(ctx, site, h.ID, 1<<30); err != nil {
			return err
		}
		if err := out.Encode(promise{ID: h.ID}); err != nil {
			return err
		}
	}
}

func TestPartsThatAreKeptSurviveKill9(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edp.db")
	enrol(t, openAt(t, path), site)
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childDB+"="+path, childParts+"=1")
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	ok(t, err)
	ok(t, child.Start())
	promised, n := map[string]int{}, 0
	for lines := bufio.NewScanner(out); lines.Scan(); n++ {
		var p promise
		if json.Unmarshal(lines.Bytes(), &p) == nil {
			promised[p.ID] = p.Kept
		}
		if n == 60 {
			ok(t, child.Process.Kill())
		}
	}
	_ = child.Wait() // it was killed
	s := openAt(t, path)
	for id, kept := range promised {
		if kept == 0 {
			must[edp.Document](t)(s.Document(t.Context(), id))
		} else if got := must[int](t)(s.KeptParts(t.Context(), id)); got < kept {
			t.Errorf("%d parts were called kept and %d are there", kept, got)
		}
	}
	if len(promised) < 4 {
		t.Fatalf("only %d documents were promised", len(promised))
	}
}

func TestMain(m *testing.M) {
	if path := os.Getenv(childDB); path != "" {
		if os.Getenv(childParts) != "" {
			if err := partsForever(path); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		if err := storeForever(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// storeForever prints each document that the store says is stored.
func storeForever(path string) error {
	ctx := context.Background()
	s, err := edp.Open(ctx, path)
	if err != nil {
		return err
	}
	for run := wire.NewID(); ; {
		body := []byte(strings.Repeat(run, 100))
		d := edp.Document{ID: wire.NewID(), Collector: site, Run: run, Device: "edge-1", Item: wire.NewID(), SHA256: wire.Digest(body), Body: body}
		st, err := s.PutDocuments(ctx, []edp.Document{d})
		if err != nil {
			return err
		}
		if st[0] == edp.PutStored {
			if err := json.NewEncoder(os.Stdout).Encode(d.ID); err != nil {
				return err
			}
		}
	}
}

func TestWhatIsCalledStoredSurvivesKill9(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edp.db")
	enrol(t, openAt(t, path), site)
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childDB+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	ok(t, err)
	ok(t, child.Start())
	var promised []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var id string
		if json.Unmarshal(lines.Bytes(), &id) == nil {
			promised = append(promised, id)
		}
		if len(promised) == 50 {
			ok(t, child.Process.Kill()) // what is in the pipe was promised too
		}
	}
	_ = child.Wait() // it was killed
	if len(promised) < 50 {
		t.Fatalf("only %d documents were promised", len(promised))
	}
	s := openAt(t, path)
	for _, id := range promised {
		if _, err := s.Document(t.Context(), id); err != nil {
			t.Errorf("promised and lost: %v", err)
		}
	}
	listed := must[[]edp.Document](t)(s.Documents(t.Context(), edp.DocumentFilter{}))
	if r := must[[]edp.Run](t)(s.Runs(t.Context(), edp.RunFilter{}))[0]; r.Stored != len(listed) || len(listed) < len(promised) {
		t.Errorf("the run counts %d, the store has %d, promised %d", r.Stored, len(listed), len(promised))
	}
}

func TestManyOpenANewDatabaseAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edp.db")
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			s, err := edp.Open(t.Context(), path)
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestTheFileIsForItsOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, filepath.Join(dir, "edp.db"))
	enrol(t, s, site)
	files, err := os.ReadDir(dir)
	ok(t, err)
	for _, f := range files {
		if fi, err := f.Info(); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), fi.Mode(), err)
		}
	}
	if _, err := edp.Open(t.Context(), filepath.Join(dir, "none", "edp.db")); err == nil || !strings.Contains(err.Error(), "none/edp.db") {
		t.Errorf("an error without its file: %v", err)
	}
}
