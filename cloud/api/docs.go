package api

import (
	"cmp"
	"html/template"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// docsPage lists the operations. It has no script and fetches nothing but the
// portal's style sheet.
var docsPage = template.Must(template.New("docs").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>API · lwc</title><link rel="stylesheet" href="/static/style.css"><link rel="icon" href="/static/icon.svg" type="image/svg+xml"></head>
<body><main><p class="crumbs"><a href="/">Portal</a> /</p><h1>API</h1>
<p class="lead">{{.Description}} The whole description, for tools: <a href="/api/openapi.json">openapi.json</a>, <a href="/api/openapi.yaml">openapi.yaml</a> (OpenAPI 3.1).</p>
<section class="card"><header><h2>Operations</h2></header><div class="scroll"><table>
<thead><tr><th scope="col">Operation</th><th scope="col">Path</th><th scope="col">What it does</th><th scope="col">Who</th></tr></thead>
<tbody>{{range .Operations}}<tr><td class="nowrap"><b>{{.Method}}</b></td><td><code>{{.Path}}</code></td><td>{{.Summary}}{{with .Description}}<span class="sub">{{.}}</span>{{end}}</td><td>{{if .Admin}}<span class="badge warn">admin</span>{{else}}every user{{end}}</td></tr>{{end}}</tbody></table></div></section>
<section class="card"><header><h2>Try it</h2></header><pre class="wrap">curl --cacert ca.pem -H "Authorization: Bearer ID.SECRET" https://HOST/api/v1/collectors</pre>
<div class="body"><dl class="facts">
<dt><code>ca.pem</code></dt><dd>The authority of this cloud. It is <code>pki/ca.pem</code> in the data folder of the server.</dd>
<dt><code>ID.SECRET</code></dt><dd>What <code>lwc-cloud api-token --data DIR --name NAME --bearer</code> prints on the server. Without <code>--bearer</code> it prints a token for the command line, in which both are packed with the address of the cloud.</dd>
<dt>Errors</dt><dd>Problems as of RFC 9457.</dd></dl></div></section>
</main></body></html>
`))

// docsRow is one operation of the page.
type docsRow struct {
	Method, Path, Summary, Description string
	Admin                              bool
}

func (a *API) docs(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	// A reader that went away needs no answer.
	_ = docsPage.Execute(w, struct {
		Description string
		Operations  []docsRow
	}{a.huma.OpenAPI().Info.Description, a.operations()})
}

// operations lists all operations by path.
func (a *API) operations() []docsRow {
	var rows []docsRow
	for path, item := range a.huma.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Delete} {
			if op != nil {
				admin, _ := op.Metadata[needsAdmin].(bool)
				rows = append(rows, docsRow{op.Method, path, op.Summary, op.Description, admin})
			}
		}
	}
	slices.SortFunc(rows, func(a, b docsRow) int { return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method)) })
	return rows
}
