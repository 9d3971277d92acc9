package lwc_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// asyncAPIPage is the protocol as a document for programs.
var asyncAPIPage = filepath.Join("docs", "asyncapi.yaml")

var updateAsyncAPI = flag.Bool("update-asyncapi", false, "write docs/asyncapi.yaml from the types in transport/wire")

// How the payload of a message is made.
const (
	formSigned = "signed" // a DSSE envelope of the type
	formPlain  = "plain"  // the type as JSON
	formFrames = "frames" // frames whose bodies are the type, or a document
)

// asyncMessage is one message of the protocol: docs/protocol.md, Topics.
type asyncMessage struct {
	name, direction, kind, form, of, summary string
}

func asyncMessages() []asyncMessage {
	return []asyncMessage{
		{"hello", "up", "hello", formSigned, "Hello", "The first message of a connection, after SUBACK"},
		{"state", "up", "state", formSigned, "State", "What became of a desired configuration"},
		{"fact", "up", "fact", formFrames, "", "A document, a part of one, or several documents of a device"},
		{"run", "up", "run", formFrames, "Manifest", "A section of a run's account"},
		{"jobStatus", "up", "job", formSigned, "JobStatus", "Progress and result of a job"},
		{"health", "up", "health", formPlain, "Health", "Heartbeat"},
		{"event", "up", "event", formPlain, "Event", "Something that an operator should know"},
		{"bye", "up", "bye", formPlain, "Bye", "Leave-taking, and the will"},
		{"welcome", "down", "welcome", formSigned, "Welcome", "The answer to a hello, with its nonce"},
		{"desired", "down", "desired", formFrames, "Desired", "The whole desired configuration"},
		{"receipt", "down", "receipt", formSigned, "Receipts", "What became of documents and manifests, after the commit"},
		{"need", "down", "need", formSigned, "Need", "What is missing, and what was decided of held documents"},
		{"job", "down", "job", formSigned, "Job", "A command of a closed list"},
	}
}

// The document is what the types say: a field that is new, gone, or another is seen
// here.
func TestAsyncAPIIsOfTheTypes(t *testing.T) {
	want, err := yaml.MarshalWithOptions(asyncAPI(t, wireTypes(t)), yaml.IndentSequence(true))
	if err != nil {
		t.Fatal(err)
	}
	want = append([]byte("# Made of the types in transport/wire; see docs/protocol.md for what they mean.\n"), want...)
	if *updateAsyncAPI {
		if err := os.WriteFile(asyncAPIPage, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(asyncAPIPage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("docs/asyncapi.yaml is not of the types: %s (go test -run AsyncAPIIsOfTheTypes . -update-asyncapi makes it anew)", firstDifference(string(got), string(want)))
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return "it says " + strings.TrimSpace(g[i]) + ", they say " + strings.TrimSpace(w[i])
		}
	}
	return "one is longer than the other"
}

// decodeYAML reads YAML as a JSON validator wants it.
func decodeYAML(t *testing.T, path string) any {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.YAMLToJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The document is one of AsyncAPI 3.0 by the specification's own schema.
func TestAsyncAPIFitsItsSpecification(t *testing.T) {
	compiler := jsonschema.NewCompiler()
	raw, err := os.ReadFile(filepath.Join("testdata", "asyncapi", "asyncapi-3.0.0.json"))
	if err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.AddResource("asyncapi.json", schema); err != nil {
		t.Fatal(err)
	}
	rules, err := compiler.Compile("asyncapi.json")
	if err != nil {
		t.Fatal(err)
	}
	page := decodeYAML(t, asyncAPIPage)
	if err := rules.Validate(page); err != nil {
		t.Errorf("docs/asyncapi.yaml: %v", err)
	}
	text, err := json.Marshal(page)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][2]string{
		"an action that does not exist": {`"action":"send"`, `"action":"sent"`},
		"a version that does not exist": {`"asyncapi":"3.0.0"`, `"asyncapi":"3.9.0"`},
	} {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(strings.Replace(string(text), bad[0], bad[1], 1)))
		if err != nil || rules.Validate(v) == nil {
			t.Errorf("%s passes (%v)", name, err)
		}
	}
}
