package fat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// What can be wrong with a volume that is one.
var (
	ErrDamaged  = errors.New("the volume is damaged: format it anew, or repair it with fsck.fat")
	ErrFull     = errors.New("the volume is full")
	ErrNotFound = errors.New("no such file")
)

// Device is what holds a volume: an image file, or a disk.
type Device interface {
	io.ReaderAt
	io.WriterAt
}

// Volume is one volume of a device. Two of one volume must not be used at once.
type Volume struct {
	dev  Device
	base int64
	geometry
}

// Open reads the geometry of the volume that begins at base and has size bytes.
// Errors wrap ErrFormat.
func Open(dev Device, base, size int64) (*Volume, error) {
	boot := make([]byte, bootLen)
	if size < bootLen {
		return nil, fmt.Errorf("opening a volume: %w: it has %d bytes", ErrFormat, size)
	}
	if _, err := dev.ReadAt(boot, base); err != nil {
		return nil, fmt.Errorf("reading a boot sector: %w", err)
	}
	g, err := parse(boot, size)
	if err != nil {
		return nil, fmt.Errorf("opening a volume: %w", err)
	}
	return &Volume{dev, base, g}, nil
}

// Label is the volume's name.
func (v *Volume) Label() (string, error) {
	f, err := v.root(nil)
	if err != nil {
		return "", err
	}
	if text := f.label(); text != "" {
		return text, nil
	}
	return v.label, nil
}

// ReadFile reads a file of the root folder; one of more than limit bytes is an
// error.
func (v *Volume) ReadFile(name string, limit int64) ([]byte, error) {
	t, err := v.loadTable()
	if err != nil {
		return nil, err
	}
	f, err := v.root(&t)
	if err != nil {
		return nil, err
	}
	hit, err := f.find(name)
	switch {
	case err != nil:
		return nil, err
	case hit == nil:
		return nil, fmt.Errorf("reading %s: %w", name, ErrNotFound)
	case hit.size() > limit:
		return nil, fmt.Errorf("reading %s: %d bytes are too many", name, hit.size())
	case hit.size() == 0:
		return []byte{}, nil
	}
	chain, err := t.chain(hit.first())
	if err != nil {
		return nil, err
	}
	if int64(len(chain))*v.cluster < hit.size() {
		return nil, fmt.Errorf("reading %s: %w", name, ErrDamaged)
	}
	text, err := v.readClusters(chain[:(hit.size()+v.cluster-1)/v.cluster])
	return text[:min(hit.size(), int64(len(text)))], err
}

// WriteFile makes a file of the root folder, or replaces it; the old content is
// overwritten with zeros. Nothing is written when the file has no room.
func (v *Volume) WriteFile(name string, text []byte, when time.Time) error {
	if err := checkName(name); err != nil {
		return err
	}
	t, err := v.loadTable()
	if err != nil {
		return err
	}
	f, err := v.root(&t)
	if err != nil {
		return err
	}
	hit, err := f.find(name)
	if err != nil {
		return err
	}
	var old []uint32
	if hit != nil && hit.first() != 0 {
		if old, err = t.chain(hit.first()); err != nil {
			return err
		}
	}
	if err := v.store(&t, f, hit, name, text, when); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return v.release(t, old)
}

// store writes the content, the table and the entry, in this order: whenever it
// breaks off, the old file is still whole.
func (v *Volume) store(t *table, f folder, hit *found, name string, text []byte, when time.Time) error {
	chain, err := t.take(int((int64(len(text)) + v.cluster - 1) / v.cluster))
	if err != nil {
		return err
	}
	first := uint32(0)
	if len(chain) > 0 {
		first = chain[0]
	}
	if hit == nil {
		if hit, err = v.newEntry(t, &f, name, when); err != nil {
			return err
		}
	}
	fill(hit.raw, first, len(text), when)
	if err := v.writeClusters(chain, text); err != nil {
		return err
	}
	if err := v.saveTable(*t); err != nil {
		return err
	}
	return v.saveRoot(f)
}

// newEntry adds an entry to the folder, which grows where it has to and can.
func (v *Volume) newEntry(t *table, f *folder, name string, when time.Time) (*found, error) {
	short, err := f.freeShort(name)
	if err != nil {
		return nil, err
	}
	var e [entryLen]byte
	copy(e[:], short[:])
	e[11] = attrFile
	date, clock := stamp(when)
	binary.LittleEndian.PutUint16(e[14:], clock) // made
	binary.LittleEndian.PutUint16(e[16:], date)
	entries := append(longParts(name, checksum(short[:])), e)
	slot := f.room(len(entries))
	if slot < 0 {
		if err := v.growRoot(t, f); err != nil {
			return nil, err
		}
		slot = f.room(len(entries))
	}
	f.put(slot, entries...)
	slot += len(entries) - 1
	return &found{slot, f.raw[slot*entryLen : (slot+1)*entryLen]}, nil
}

// release overwrites clusters that nothing names any more, and frees them.
func (v *Volume) release(t table, old []uint32) error {
	if err := v.writeClusters(old, nil); err != nil {
		return fmt.Errorf("erasing what was replaced: %w", err)
	}
	for _, c := range slices.Backward(old) {
		t.set(c, 0)
	}
	if err := v.saveTable(t); err != nil {
		return err
	}
	return v.saveInfo(t)
}
