package junos

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
)

// output reads a command's document with n bytes coming at a time.
func output(printed []byte, n int) ([]byte, error) {
	read := pieces(printed, n)
	o := &cliOutput{buf: make([]byte, cliBuffer), read: func(ctx context.Context, b []byte) (int, error) {
		k, err := read(ctx, b)
		if err == io.ErrUnexpectedEOF {
			err = errEnded
		}
		return k, err
	}}
	var doc []byte
	for {
		b, err := o.span(context.Background())
		if err != nil {
			return doc, err
		}
		doc = append(doc, b...)
	}
}

// A document is the same however it comes, is part of what was printed, and keeps
// every line of trouble.
func FuzzCLIOutput(f *testing.F) {
	f.Add([]byte("banner\n<rpc-reply><a/></rpc-reply>\n{master}\n"), 1)
	f.Add([]byte("error: x\n<rpc-reply></rpc-reply>\nerror: y\n"), 3)
	f.Add([]byte("syntax error, expecting <command>."), 2)
	f.Add([]byte("<rpc-reply><a>"), 5)
	f.Fuzz(func(t *testing.T, printed []byte, n int) {
		whole, err1 := output(printed, max(1, len(printed)))
		split, err2 := output(printed, max(1, n%100))
		if len(printed) < maxNoise && (!bytes.Equal(whole, split) || err1 != err2) {
			t.Fatalf("at once %q, %v\nin pieces %q, %v", whole, err1, split, err2)
		}
		if !bytes.Contains(printed, whole) {
			t.Errorf("printed %q, read %q", printed, whole)
		}
	})
}

// The end tag and the noise around a document, cut at every place.
func TestCLISplits(t *testing.T) {
	doc := "<rpc-reply><a>" + strings.Repeat("<x>1</x>", 10) + "</a></rpc-reply>"
	printed := []byte("lab@r1> show\n" + doc + "\n\n{master}\nlab@r1> ")
	for n := 1; n <= len(printed); n++ {
		if got, err := output(printed, n); err != errEnd || string(got) != doc {
			t.Fatalf("%d at a time: %q, %v", n, got, err)
		}
	}
	huge := []byte(doc[:14] + strings.Repeat("<x>1</x>", 1<<20) + doc[len(doc)-16:])
	if got, err := output(huge, 1000); err != errEnd || !bytes.Equal(got, huge) {
		t.Fatalf("%d of %d bytes, %v", len(got), len(huge), err)
	}
}
