package main

import (
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
)

// Who asks for help gets it on standard output, and no error.
func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"-h"}, {"help"}, {"keys", "--help"}} {
		var out, errs strings.Builder
		err := run(t.Context(), args, &out, &errs)
		if err != nil && !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "sign release --keys DIR") || errs.Len() != 0 {
			t.Errorf("%q: %v\n%s%s", args, err, &out, &errs)
		}
	}
	if err := run(t.Context(), []string{"release", "--help"}, io.Discard, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("release --help: %v", err)
	}
	if err := run(t.Context(), []string{"sums", "--help"}, io.Discard, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("sums --help: %v", err)
	}
	for _, args := range [][]string{nil, {"what"}, {"keys"}, {"keys", "--what"}, {"sums"}, {"sums", "x.SHA256SUMS"}, {"sums", "--keys", "x"}, {"sums", "--keys", "x", "--out", "x.SHA256SUMS"},
		{"sums", "--keys", "x", "a", "b"}, {"sums", "--keys", "x", "--out", "x.SHA256SUMS", "elsewhere/a"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil || errors.Is(err, flag.ErrHelp) {
			t.Errorf("%q is taken: %v", args, err)
		}
	}
}
