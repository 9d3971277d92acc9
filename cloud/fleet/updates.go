package fleet

import (
	"github.com/goccy/go-yaml/ast"

	"lwc/cloud/rollout"
)

// maxDefer bounds the number that is read; the rule for days is the policy's own.
const maxDefer = 1 << 20

func (d *decoder) updates(path string, n ast.Node) (u rollout.Policy) {
	d.mapping(path, n, fields{
		"mode":       func(p string, n ast.Node) { u.Mode = d.scalar(p, n) },
		"window":     func(p string, n ast.Node) { u.Window = d.window(p, n) },
		"defer_days": func(p string, n ast.Node) { u.DeferDays = int(d.number(p, n, maxDefer)) },
		"security":   func(p string, n ast.Node) { u.Security = d.scalar(p, n) },
	})
	return u
}

func (d *decoder) window(path string, n ast.Node) (w rollout.Window) {
	d.mapping(path, n, fields{
		"days":     func(p string, n ast.Node) { w.Days = d.texts(p, n) },
		"start":    func(p string, n ast.Node) { w.Start = d.scalar(p, n) },
		"length":   func(p string, n ast.Node) { w.Length = d.scalar(p, n) },
		"timezone": func(p string, n ast.Node) { w.Timezone = d.scalar(p, n) },
	})
	return w
}

func (c *checker) updates(u rollout.Policy) {
	for _, wrong := range u.Check() {
		c.add("updates."+wrong.Field, "%s", wrong.Text)
	}
}
