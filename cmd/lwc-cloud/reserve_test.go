package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"lwc/cloud/api/apitype"
	"lwc/cloud/edp"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// Where the file cannot be, no token is made: the cloud is not even asked.
func TestNoTokenWithoutAPlace(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	_ = s.cloud.Store.Close() // whoever asks it is told something else
	for want, path := range map[string]string{
		"does not exist: make it first": filepath.Join(s.dir, "none", "lwc.toml"),
		"nothing can be written to":     "/sys/lwc.toml",
		"is no plain file":              "/dev/null",
		"is a folder":                   s.dir,
	} {
		for _, flag := range []string{"--file", "--out"} {
			want := want
			if flag == "--file" && (path == s.dir || path == "/dev/null") {
				want = "exists: name another file"
			}
			_, errs, code := s.run("enrol-token", flag, path)
			if code != exitFailed || !strings.Contains(errs, want) || strings.Contains(errs, "revoked") {
				t.Errorf("%s %s: %d %s", flag, path, code, errs)
			}
		}
	}
	if left, err := os.ReadDir(s.dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// full is a disk that takes nothing more.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// A token that could not be written is revoked, and nobody has it.
func TestATokenThatNobodyHas(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	err := run(t.Context(), []string{"enrol-token"}, strings.NewReader(""), full{}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "no space left on device\nit was revoked") {
		t.Errorf("standard output: %v", err)
	}
	conn, err := connect("")
	if err != nil {
		t.Fatal(err)
	}
	c := &call{Client: conn, stdout: io.Discard}
	dir := filepath.Join(s.dir, "gone")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := reserve(filepath.Join(dir, "lwc.toml"), 1<<10)
	if err != nil {
		t.Fatal(err)
	}
	made, err := newToken(t.Context(), c, apitype.EnrolTokenRequest{}, func(apitype.EnrolToken) error {
		return errors.Join(os.RemoveAll(dir), p.write([]byte("token")))
	})
	if err == nil || !strings.Contains(err.Error(), "it was revoked, since nobody has it") {
		t.Errorf("a folder that goes away: %v", err)
	}
	if err := c.RevokeEnrolToken(t.Context(), made.ID); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("once more: %v", err)
	}
	_, err = newToken(t.Context(), c, apitype.EnrolTokenRequest{}, func(apitype.EnrolToken) error {
		_ = s.cloud.Store.Close()
		return io.ErrShortWrite
	})
	if err == nil || !regexp.MustCompile(`could not be revoked .*: lwc-cloud enrol-token --revoke [0-9a-f]{16}$`).MatchString(err.Error()) {
		t.Errorf("without a cloud: %v", err)
	}
}

// A token that is printed is told by its id where the token itself does not go.
func TestAPrintedTokenHasAnId(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	out, errs, code := s.run("enrol-token")
	token, err := wire.ParseToken(wire.EnrolToken, secret.FromString(strings.TrimSpace(out)))
	if err != nil || code != 0 || !strings.Contains(errs, "enrol-token --revoke "+token.ID) {
		t.Fatalf("%v, %d: %s", err, code, errs)
	}
	contains(t, "revoke", s.ok("enrol-token", "--revoke", token.ID), "is revoked")
}

// nobody runs lwc-cloud with a reader that has gone away.
func nobody(t *testing.T, args ...string) (stderr string, code int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }() // its reader is gone
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	c := exec.CommandContext(t.Context(), os.Args[0], args...)
	c.Env = append(os.Environ(), asMain+"=1")
	c.Stdout, c.Stderr = w, &errs
	_ = c.Run() // the exit code is returned
	return errs.String(), c.ProcessState.ExitCode()
}

// A token that nobody reads does not stay good.
func TestATokenThatNobodyReads(t *testing.T) {
	dir := t.TempDir()
	startServe(t, dir)
	if errs, code := nobody(t, "api-token", "--data", dir, "--name", "lost"); code != exitFailed || !strings.Contains(errs, "writing the token") {
		t.Errorf("an API token: %d %s", code, errs)
	}
	if list, errs, code := command(t, "api-token", "--data", dir, "--list"); code != 0 || strings.Contains(list, "lost") {
		t.Errorf("it stayed: %d %s%s", code, list, errs)
	}
	admin, errs, code := command(t, "api-token", "--data", dir, "--name", "ada", "--role", "admin")
	if code != 0 {
		t.Fatal(errs)
	}
	t.Setenv("LWC_API_TOKEN", strings.TrimSpace(admin))
	if errs, code := nobody(t, "enrol-token"); code != exitFailed || !strings.Contains(errs, "it was revoked, since nobody has it") {
		t.Errorf("an enrolment token: %d %s", code, errs)
	}
}

func TestRevokeAnEnrolToken(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	path := filepath.Join(s.dir, "token")
	out := s.ok("enrol-token", "--out", path)
	id := regexp.MustCompile(`token ([0-9a-f]{16}) written`).FindStringSubmatch(out)
	if id == nil {
		t.Fatal(out)
	}
	contains(t, "revoke", s.ok("enrol-token", "--revoke", id[1]), "token "+id[1]+" is revoked")
	if _, errs, code := s.run("enrol-token", "--revoke", id[1]); code != exitFailed || !strings.Contains(errs, "no token ") {
		t.Errorf("once more: %d %s", code, errs)
	}
	if _, errs, code := s.run("enrol-token", "--revoke", id[1], "--out", path); code != exitUsage {
		t.Errorf("with another: %d %s", code, errs)
	}
}

// What is there stays until the new file is whole, and only its owner can read that.
func TestReserve(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lwc.toml")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := must(reserve(path, 1<<16))
	if b := must(os.ReadFile(path)); string(b) != "old" {
		t.Errorf("%q", b)
	}
	if room := must(p.f.Stat()).Size(); room != 1<<16 { // so that a full disk is found out now
		t.Errorf("room for %d bytes is taken", room)
	}
	if err := p.write([]byte("new\n")); err != nil {
		t.Fatal(err)
	}
	if b := must(os.ReadFile(path)); !bytes.Equal(b, []byte("new\n")) || must(os.Stat(path)).Mode().Perm() != 0o600 {
		t.Errorf("%q, %v", b, must(os.Stat(path)).Mode())
	}
	p = must(reserve(path, 10))
	if err := errors.Join(p.leave(), p.leave()); err != nil {
		t.Error(err)
	}
	if left := must(os.ReadDir(filepath.Dir(path))); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}
