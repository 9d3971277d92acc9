package boottest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Picture is what the display shows.
type Picture struct {
	Width, Height int
	RGB           []byte // three bytes a pixel, line by line
}

// Picture takes a picture of the display.
func (vm *VM) Picture(ctx context.Context) (Picture, error) {
	file := filepath.Join(vm.t.TempDir(), "display.ppm")
	if _, err := vm.QMP(ctx, "screendump", map[string]any{"filename": file}); err != nil {
		return Picture{}, err
	}
	f, err := os.Open(file)
	if err != nil {
		return Picture{}, err
	}
	defer f.Close()
	return readPPM(bufio.NewReader(f))
}

// readPPM reads a picture in the form of ppm(5): P6, width, height, 255, and a byte
// for each colour.
func readPPM(r io.Reader) (p Picture, err error) {
	var kind string
	var most int
	if _, err := fmt.Fscanf(r, "%s\n%d %d\n%d\n", &kind, &p.Width, &p.Height, &most); err != nil {
		return p, fmt.Errorf("reading a picture: %w", err)
	}
	if kind != "P6" || most != 255 || p.Width < 1 || p.Height < 1 || p.Width > 1<<13 || p.Height > 1<<13 {
		return p, fmt.Errorf("reading a picture: %s of %d by %d", kind, p.Width, p.Height)
	}
	p.RGB = make([]byte, 3*p.Width*p.Height)
	if _, err := io.ReadFull(r, p.RGB); err != nil {
		return p, fmt.Errorf("reading a picture: %w", err)
	}
	return p, nil
}

// Lit counts the pixels that are not black: a line of text has some hundred.
func (p Picture) Lit() (n int) {
	for i := 0; i+2 < len(p.RGB); i += 3 {
		if p.RGB[i] > 31 || p.RGB[i+1] > 31 || p.RGB[i+2] > 31 {
			n++
		}
	}
	return n
}
