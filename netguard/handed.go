package netguard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Namespaces opens the namespaces of the two ports, the internal one first, for a
// half to which their names mean nothing: see [JoinHanded]. They are descriptors of
// their own, which hold nobody off the ports once the Guard is gone. The caller closes
// them. The error is ErrUnprotected in that mode.
func (g *Guard) Namespaces() ([]*os.File, error) {
	_, sides := g.effective()
	var files []*os.File
	for _, m := range sides {
		if m == nil || m.ns == nil {
			return nil, errors.Join(fmt.Errorf("opening the two namespaces: %w", ErrUnprotected), closeAll(files))
		}
		f, err := m.ns.again()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("opening the namespace of the %s port: %w", m.plan.side, err), closeAll(files))
		}
		files = append(files, f)
	}
	return files, nil
}

// again opens the namespace once more by its name, if that still is its name.
func (n *namespace) again() (*os.File, error) {
	f, err := os.Open(n.path)
	if err != nil {
		return nil, err
	}
	id, err := fileID(int(f.Fd()))
	if err == nil && id != n.id {
		err = fmt.Errorf("%w: %s names another one", ErrWrongNamespace, n.path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// folder opens the folder of the name.
func (n *namespace) folder() (*os.File, error) {
	if n.handed {
		return nil, nil
	}
	return os.OpenFile(filepath.Dir(n.path), unix.O_PATH|unix.O_DIRECTORY, 0)
}

func closeAll(files []*os.File) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// JoinHanded is [Join] for a process that was handed the namespaces, the internal one
// first, as [Guard.Namespaces] opens them: their names need not mean anything to it. It
// takes the capability CAP_SYS_ADMIN and no other, and keeps the files or closes them.
func JoinHanded(ctx context.Context, v View, files []*os.File, u Upstream) (*Half, error) {
	if len(files) != len(v.Paths) {
		return nil, errors.Join(fmt.Errorf("joining the two ports: %w: %d were handed over", ErrWrongNamespace, len(files)), closeAll(files))
	}
	return join(ctx, v, files, u)
}
