package ledger

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"testing"

	"lwc/transport/wire"
)

// A ledger of more documents than fit the memory ends with what to do, whether their
// accounts, their records or their bytes are too many.
func TestRoom(t *testing.T) {
	for name, text := range map[string]string{
		"manifests/%06d.json":  `{"documents":[{},{},{},{}]}`,
		"documents/%06d.jsonl": "{}\n{}\n{}\n{}\n",
		"bytes/%s.xml":         "",
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		add := func(name, text string) {
			err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Typeflag: tar.TypeReg})
			if err == nil {
				_, err = w.Write([]byte(text))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		add(headFile, `{"v":1,"collector":"site-berlin-01","documents":"bytes"}`)
		for i := range 100 {
			var n any = i + 1
			if text == "" {
				n = wire.NewID()
			}
			add(fmt.Sprintf(name, n), text)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		whole := b.Bytes()
		for room, want := range map[int64]error{90 * objectCost: errRoom, 600 * objectCost: nil} {
			err := (&walk{tar: tar.NewReader(bytes.NewReader(whole)), visitor: &teller{runs: map[string]*tally{}}, room: room}).all(bytes.NewReader(nil))
			if !errors.Is(err, want) || (want == nil) != (err == nil) {
				t.Errorf("%s: room for %d: %v, want %v", name, room, err, want)
			}
		}
	}
}
