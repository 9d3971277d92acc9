package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"lwc/testdata/kernels/job"
)

// tools are the programs that tests use: those that tell the kernel's state, from
// iproute2 and nftables, a DHCP server, from dnsmasq-base, and a proxy.
func tools() []string { return []string{"ip", "tc", "bridge", "nft", "dnsmasq", "tinyproxy"} }

// goPackage is a package with tests.
type goPackage struct {
	ImportPath, Dir           string
	TestGoFiles, XTestGoFiles []string
}

// builder puts an initramfs together.
type builder struct {
	dir     string // for files on the way
	into    *archive
	args    []string // of each test binary
	besides []string // modules that are not loaded as a rule
	env     []string
}

// image writes the initramfs of a kernel with the tests of the packages.
func (b *builder) image(ctx context.Context, k kernel, packages []string) error {
	j := job.Job{}
	if err := b.modules(ctx, k, &j); err != nil {
		return err
	}
	if err := b.base(ctx); err != nil {
		return err
	}
	all, err := list(ctx, packages)
	if err != nil {
		return err
	}
	for _, p := range all {
		if err := b.tests(ctx, p, &j); err != nil {
			return fmt.Errorf("building the tests of %s: %w", p.ImportPath, err)
		}
	}
	text, err := j.Encode()
	if err != nil {
		return err
	}
	if err := b.into.file(job.File, 0o644, text); err != nil {
		return err
	}
	return b.into.close()
}

func (b *builder) modules(ctx context.Context, k kernel, j *job.Job) error {
	m, err := openModules(k.modules)
	if err != nil {
		return err
	}
	may := map[string]bool{}
	for _, name := range optional() {
		may[name] = true
	}
	for _, name := range append(wanted(), b.besides...) {
		missing, err := m.add(ctx, name)
		if err != nil {
			return err
		}
		if missing != "" && !may[name] {
			return fmt.Errorf("looking for the kernel module %s: kernel %s does not have it", missing, k.version)
		}
	}
	for _, mod := range m.order {
		name := "/modules/" + mod.name
		j.Modules = append(j.Modules, name)
		if err := b.into.file(name, 0o644, mod.content); err != nil {
			return err
		}
	}
	return nil
}

// base adds the first process and the judges.
func (b *builder) base(ctx context.Context) error {
	initFile := filepath.Join(b.dir, "init")
	if _, err := output(static(ctx, "build", "-trimpath", "-ldflags", "-s -w", "-o", initFile, "./testdata/kernels/init")); err != nil {
		return err
	}
	if err := b.copy(initFile, "/init", 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"/etc/passwd": "root:x:0:0::/tmp:/bin/false\nnobody:x:65534:65534::/tmp:/bin/false\n",
		"/etc/group":  "root:x:0:\nnogroup:x:65534:\n",
		"/etc/hosts":  "127.0.0.1 localhost\n::1 localhost\n",
	} {
		if err := b.into.file(name, 0o644, []byte(text)); err != nil {
			return err
		}
	}
	for _, t := range tools() {
		if err := b.tool(ctx, t); err != nil {
			return err
		}
	}
	// The names that the judges use for numbers.
	for _, names := range []string{"/etc/protocols", "/etc/services", "/etc/iproute2", "/usr/share/iproute2", "/usr/lib/iproute2"} {
		if err := b.copyTree(names, names); err != nil {
			return err
		}
	}
	return nil
}

// tool adds a program of this machine with the libraries that it loads.
func (b *builder) tool(ctx context.Context, name string) error {
	var program string
	for _, p := range []string{"/usr/sbin/" + name, "/sbin/" + name, name} {
		if found, err := exec.LookPath(p); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		return fmt.Errorf("looking for the program %s: %w (make deps installs it)", name, exec.ErrNotFound)
	}
	if err := b.copy(program, "/usr/sbin/"+name, 0o755); err != nil {
		return err
	}
	libraries, err := output(exec.CommandContext(ctx, "ldd", program))
	if err != nil {
		return err
	}
	for _, word := range strings.Fields(string(libraries)) {
		if !strings.HasPrefix(word, "/") {
			continue
		}
		if err := b.copy(word, word, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// tests builds the test binary of a package and adds it with its test data.
func (b *builder) tests(ctx context.Context, p goPackage, j *job.Job) error {
	name := strings.ReplaceAll(strings.TrimPrefix(p.ImportPath, "lwc/"), "/", "-")
	binary := filepath.Join(b.dir, name+".test")
	if _, err := output(static(ctx, "test", "-c", "-trimpath", "-ldflags", "-s -w", "-o", binary, p.ImportPath)); err != nil {
		return err
	}
	program, folder := "/tests/"+name+".test", "/src/"+p.ImportPath
	if err := b.copy(binary, program, 0o755); err != nil {
		return err
	}
	if err := b.into.folder(folder); err != nil {
		return err
	}
	if err := b.copyTree(filepath.Join(p.Dir, "testdata"), folder+"/testdata"); err != nil {
		return err
	}
	j.Commands = append(j.Commands, job.Command{Name: p.ImportPath, Args: append([]string{program}, b.args...), Env: b.env, Dir: folder})
	return nil
}

func (b *builder) copy(from, to string, perm fs.FileMode) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return b.into.file(to, perm, content)
}

// copyTree adds a folder, or a file, where there is one.
func (b *builder) copyTree(from, to string) error {
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return b.copy(path, to+strings.TrimPrefix(path, from), 0o644)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// list returns the packages that have tests.
func list(ctx context.Context, patterns []string) ([]goPackage, error) {
	out, err := output(static(ctx, append([]string{"list", "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles"}, patterns...)...))
	if err != nil {
		return nil, err
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p goPackage
		if err := dec.Decode(&p); err != nil {
			return nil, fmt.Errorf("reading the list of packages: %w", err)
		}
		if len(p.TestGoFiles)+len(p.XTestGoFiles) > 0 {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("looking for packages with tests in %v: %w", patterns, fs.ErrNotExist)
	}
	return all, nil
}

// static is the go command for programs that need no library.
func static(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	return cmd
}
