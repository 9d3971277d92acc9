package boottest

import (
	"regexp"
	"strings"
	"sync"
)

// escapes are the sequences that move the cursor, colour the text, set the title
// or ask the terminal something: ECMA-48 sections 5.4 and 5.6, and single controls.
var escapes = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(\x07|\x1b\\)?|\x1b[ -/]*[0-~]|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]`)

// clears is what a program sends before it draws a whole screen: erase the display
// or go home, ECMA-48 sections 8.3.39 and 8.3.21.
var clears = regexp.MustCompile(`\x1b\[(2?J|H|1;1H)`)

// console keeps what a machine says.
type console struct {
	mu     sync.Mutex // guards what follows
	raw    []byte
	from   int           // of the last mark
	change chan struct{} // closed at the next write, or the end
	ended  bool
}

func newConsole() *console { return &console{change: make(chan struct{})} }

// Write implements io.Writer.
func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = append(c.raw, b...)
	c.tell()
	return len(b), nil
}

// end says that nothing more comes.
func (c *console) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.tell()
}

func (c *console) tell() {
	close(c.change)
	c.change = make(chan struct{})
}

func (c *console) mark() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.from = len(c.raw)
}

// since returns the text from the mark on, and what is closed when there is more.
func (c *console) since() (text string, change <-chan struct{}, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return plain(c.raw[c.from:]), c.change, c.ended
}

func (c *console) text(from int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return plain(c.raw[from:])
}

func (c *console) screen() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := 0
	for _, m := range clears.FindAllIndex(c.raw, -1) {
		if strings.TrimSpace(plain(c.raw[m[1]:])) != "" {
			at = m[1]
		}
	}
	return plain(c.raw[at:])
}

// plain takes out what is not text.
func plain(raw []byte) string { return escapes.ReplaceAllString(string(raw), "") }
