package junos

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lwc/testdata/need"
)

// corpusDir holds replies that real devices sent. It stands beside the project,
// not in it.
const corpusDir = "../../shared/corpus"

// corpus returns the path of one file of the corpus.
func corpus(t testing.TB, name string) string {
	t.Helper()
	return filepath.Join(need.Folder(t, corpusDir), name)
}

func readCorpus(t testing.TB, name string) []byte {
	t.Helper()
	doc, err := os.ReadFile(corpus(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// scanned is the result of a whole document.
func scanned(doc []byte) Result {
	_, r := inPieces(doc, len(doc), nil)
	return r
}

// inPieces scans a document in pieces of n bytes, and returns what is handed on.
func inPieces(doc []byte, n int, mask *Mask) ([]byte, Result) {
	s, doc := newScan("", mask), skipLeading(doc)
	var out []byte
	for len(doc) > 0 {
		k := max(1, min(n, len(doc)))
		out = append(out, s.write(doc[:k])...)
		doc = doc[k:]
	}
	out = append(out, s.end()...)
	return out, s.result(false)
}

// corpusFiles returns the manifest's rows by column name.
func corpusFiles(t testing.TB) []map[string]string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(string(readCorpus(t, "MANIFEST.tsv"))), "\n")
	columns := strings.Split(lines[0], "\t")
	var rows []map[string]string
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, v := range strings.Split(line, "\t") {
			row[columns[i]] = v
		}
		rows = append(rows, row)
	}
	return rows
}
