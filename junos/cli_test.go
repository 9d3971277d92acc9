package junos

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// prints is a device whose every command prints text.
func prints(text string) func(context.Context, string) (io.ReadCloser, error) {
	return func(context.Context, string) (io.ReadCloser, error) {
		return io.NopCloser(iotest.OneByteReader(strings.NewReader(text))), nil
	}
}

func askCLI(t *testing.T, c *CLI) (string, Result, error) {
	t.Helper()
	r, err := c.Call(t.Context(), version(t))
	if err != nil {
		return "", Result{}, err
	}
	b, err := io.ReadAll(r)
	return string(b), r.Result(), err
}

func TestCLIOutput(t *testing.T) {
	doc := `<rpc-reply xmlns:junos="http://xml.juniper.net/junos/21.4R3/junos"><software-information><host-name>r1</host-name></software-information><cli><banner>{master}</banner></cli></rpc-reply>`
	caret := "                    ^\nsyntax error, expecting <command>.\n"
	for _, c := range []struct {
		name, output, want string
		outcome            Outcome
	}{
		{"as it came", doc, doc, OK},
		{"banner and prompt", "--- JUNOS 21.4R3 built 2022\n\n{master:0}\n" + doc + "\n\n{master:0}\nlab@r1> ", doc, OK},
		{"indented", "  " + doc + "\n", doc, OK},
		{"declaration", `<?xml version="1.0"?>` + "\n" + doc, `<?xml version="1.0"?>` + "\n" + doc, OK},
		{"unknown", "unknown command.\n", "unknown command.\n", Unsupported},
		{"syntax", caret, "syntax error, expecting <command>.\n", Unsupported},
		{"denied", "error: permission denied\n", "error: permission denied\n", Denied},
		{"not running", "error: the chassis-control subsystem is not running\n", "error: the chassis-control subsystem is not running\n", RetryLater},
		{"nothing", "\n\n", "", Empty},
		{"error before", "banner\nerror: could not connect to fpc1\n" + doc, "error: could not connect to fpc1\n" + doc, Malformed},
		{"error after", doc + "\nerror: timeout\n", doc + "\nerror: timeout\n", Malformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			cli := OpenCLI(prints(c.output), Options{})
			defer cli.Close()
			for range 2 {
				got, res, err := askCLI(t, cli)
				if err != nil || got != c.want || res.Outcome != c.outcome {
					t.Fatalf("got %q, %s, %v\nwant %q, %s", got, res.Outcome, err, c.want, c.outcome)
				}
			}
		})
	}
}

func TestCLICommand(t *testing.T) {
	var asked []string
	run := func(_ context.Context, command string) (io.ReadCloser, error) {
		asked = append(asked, command)
		return io.NopCloser(strings.NewReader("<rpc-reply><a>1</a></rpc-reply>")), nil
	}
	c := OpenCLI(run, Options{})
	defer c.Close()
	if _, _, err := askCLI(t, c); err != nil || len(asked) != 1 || asked[0] != "show version | display xml | no-more" {
		t.Fatalf("asked %q, %v", asked, err)
	}
	item := version(t)
	item.CLI = "request system reboot"
	if _, err := c.Call(t.Context(), item); err == nil || len(asked) != 1 {
		t.Errorf("a command that is not of the catalogue was run: %q", asked)
	}
	c.Close()
	_, _, err := askCLI(t, c)
	wantKind(t, err, KindClosed)
}

func TestCLICutOff(t *testing.T) {
	c := OpenCLI(prints("<rpc-reply><a>1</a>"), Options{})
	defer c.Close()
	got, res, err := askCLI(t, c)
	wantKind(t, err, KindClosed)
	if got != "<rpc-reply><a>1</a>" || res.Outcome != Partial {
		t.Errorf("got %q, %+v", got, res)
	}
}

// Whatever happens to one command, the next one works.
func TestCLINext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		commands := 0
		run := func(ctx context.Context, _ string) (io.ReadCloser, error) {
			r, w := io.Pipe()
			commands++
			switch commands {
			case 1: // runs for ever
				<-ctx.Done()
				return nil, context.Cause(ctx)
			case 2:
				return nil, errors.New("no more channels")
			case 3: // says nothing
			case 4:
				go io.WriteString(w, "<rpc-reply><a>")
			default:
				go func() { io.WriteString(w, "<rpc-reply><a>1</a></rpc-reply>"); w.Close() }()
			}
			return r, nil
		}
		c := OpenCLI(run, Options{StallTimeout: time.Minute})
		defer c.Close()
		for _, kind := range []Kind{KindRPCTimeout, KindClosed, KindRPCTimeout, KindStalled} {
			_, _, err := askCLI(t, c)
			wantKind(t, err, kind)
		}
		unread, err := c.Call(t.Context(), version(t))
		if err != nil {
			t.Fatal(err)
		}
		if got, res, err := askCLI(t, c); err != nil || res.Outcome != OK {
			t.Fatalf("%q, %+v, %v", got, res, err)
		}
		if _, err := io.ReadAll(unread); err == nil && unread.Result().Size == 0 {
			t.Error("a reply that was given up reads on")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = c.Call(ctx, version(t))
		wantKind(t, err, KindCancelled)
	})
}

// What stands before and after a document is held within a bound; text without
// markup is handed on as it comes.
func TestCLIBounds(t *testing.T) {
	doc, noise := "<rpc-reply><a>1</a></rpc-reply>", strings.Repeat("noise\n", 20_000)
	cli := OpenCLI(func(context.Context, string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(noise)), nil
	}, Options{})
	defer cli.Close()
	if got, res, err := askCLI(t, cli); err != nil || got != noise || res.Outcome != Malformed {
		t.Errorf("%d bytes of text, %s, %v", len(got), res.Outcome, err)
	}
	r := strings.NewReader(doc + "\n" + noise)
	out := &cliOutput{buf: make([]byte, cliBuffer), read: func(_ context.Context, b []byte) (int, error) {
		n, err := r.Read(b)
		if err == io.EOF {
			err = errEnded
		}
		return n, err
	}}
	var got strings.Builder
	for {
		b, err := out.span(t.Context())
		got.Write(b)
		if err != nil {
			break
		}
	}
	if got.String() != doc || len(out.noise) > maxNoise {
		t.Errorf("%q, %d bytes of noise", got.String(), len(out.noise))
	}
}
