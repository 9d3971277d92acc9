package fat

import (
	"bytes"
	"io"
	"testing"
)

// memory is a device of its own length.
type memory []byte

func (m memory) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(p)) > int64(len(m)) {
		return 0, io.ErrUnexpectedEOF
	}
	return copy(p, m[at:]), nil
}

func (m memory) WriteAt(p []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(p)) > int64(len(m)) {
		return 0, io.ErrShortWrite
	}
	return copy(m[at:], p), nil
}

// A volume may hold anything: what is written there is read back, or refused, and
// nothing outside is touched.
func FuzzVolume(f *testing.F) {
	whole := make(memory, VolumeSize)
	if err := Format(whole, "LWCCONF", 1, moment()); err != nil {
		f.Fatal(err)
	}
	const table, root = 512, 33 * 512
	f.Add([]byte(whole[:512]), []byte(whole[table:table+64]), []byte(whole[root:root+128]))
	v, err := Open(whole, 0, VolumeSize)
	if err != nil {
		f.Fatal(err)
	}
	if err := v.WriteFile("lwc.toml", make([]byte, 2000), moment()); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(whole[:512]), []byte(whole[table:table+64]), []byte(whole[root:root+128]))
	wide := bytes.Clone(whole[:512])
	copy(wide[11:], []byte{0, 2, 1, 32, 0, 2, 0, 0, 0, 0, 0xF8, 0, 0})
	f.Add(wide, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, boot, table, root []byte) {
		disk := make(memory, VolumeSize+1024)
		copy(disk[512+33*512:], root)
		copy(disk[512+512:], table)
		copy(disk[512:], boot[:min(len(boot), 512)])
		v, err := Open(disk, 512, VolumeSize)
		if err != nil {
			return
		}
		text := []byte("token = \"x\"\n")
		if err := v.WriteFile("lwc.toml", text, moment()); err != nil {
			return
		}
		if !bytes.Equal(disk[:512], make([]byte, 512)) || !bytes.Equal(disk[VolumeSize+512:], make([]byte, 512)) {
			t.Fatal("something outside the volume was written")
		}
		if got, err := v.ReadFile("lwc.toml", 1<<20); err == nil && !bytes.Equal(got, text) && v.data > 0 {
			t.Fatalf("read back %q", got)
		}
	})
}
