// Package script writes the small programs that tests have run by others.
package script

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Write makes the executable file dir/name of a text that begins with its #! line,
// and returns its path. Only the file's owner can change it.
//
// While the file is open for writing no process of this program may fork: the child
// would hold it open until its own exec, and running the file meanwhile fails with
// "text file busy" (execve(2), ETXTBSY). That is what syscall.ForkLock is for.
func Write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	syscall.ForkLock.RLock()
	err := os.WriteFile(path, []byte(text), 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
