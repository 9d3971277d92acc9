package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"lwc/image/provision"
	"lwc/image/sitefile"
	"lwc/netguard"
)

const checkConfigUsage = "usage: lwcd check-config [--enrolled] FILE\n" +
	"Checks the lwc.toml of an appliance: line, column, what is wrong, what to do.\n" +
	"With --enrolled the token may be missing: for a box that has enrolled already.\n"

// checkConfig is the subcommand that checks an lwc.toml before it is flashed, as the
// box itself will.
func checkConfig(_ context.Context, args []string, stdout, stderr io.Writer) int {
	set := flag.NewFlagSet("lwcd check-config", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	enrolled := set.Bool("enrolled", false, "")
	if err := set.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, checkConfigUsage)
		return exitStopped
	} else if err != nil || set.NArg() != 1 {
		fmt.Fprint(stderr, checkConfigUsage)
		return exitUsage
	}
	path := set.Arg(0)
	raw, err := readSiteFile(path)
	if err != nil {
		fmt.Fprintf(stderr, "lwcd: %v\n", err)
		return exitUsage
	}
	defer clear(raw)
	parse := sitefile.Parse
	if *enrolled {
		parse = sitefile.ParseSettings
	}
	f, problems := checkWhole(parse, filepath.Base(path), raw)
	for _, p := range problems {
		fmt.Fprintf(stderr, "%s\n", located(path, p))
	}
	if len(problems) > 0 {
		if hint := sitefile.EnrolledOnly(filepath.Base(path), raw); hint != "" {
			fmt.Fprintln(stderr, hint)
		}
		return exitUsage
	}
	fmt.Fprint(stdout, siteSummary(path, f, raw))
	return exitStopped
}

// readSiteFile reads a file of any size as far as Parse needs it to say that it is
// too large.
func readSiteFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading the file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading the file: %s is a folder or a device: name the file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the file: %w", err)
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, sitefile.MaxSize+1))
}

// checkWhole is all that can be said of a file without the box.
func checkWhole(parse func(string, []byte) (*sitefile.File, error), name string, raw []byte) (*sitefile.File, []sitefile.Problem) {
	f, err := parse(name, raw)
	var problems sitefile.Problems
	if errors.As(err, &problems) {
		return nil, problems
	}
	return f, daemonProblems(f)
}

// daemonProblems is what lwcd itself would object to in the configuration that a
// file makes, told at the file's own lines.
func daemonProblems(f *sitefile.File) []sitefile.Problem {
	text := f.Daemon()
	_, err := parseConfig(sitefile.DaemonPath, string(text))
	var problems []sitefile.Problem
	for _, one := range findings(err) {
		p := siteProblem(f, one)
		// One cause, as two networks that overlap, may be told from both sides.
		if !slices.Contains(problems, p) {
			problems = append(problems, p)
		}
	}
	return problems
}

// findings takes a joined error apart.
func findings(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

func siteProblem(f *sitefile.File, err error) sitefile.Problem {
	var ce *netguard.ConfigError
	var oe *netguard.OverlapError
	switch {
	case errors.As(err, &ce) && ce.Port != "":
		text := ce.Problem
		if ce.Value != "" {
			text = fmt.Sprintf("%q %s", ce.Value, ce.Problem)
		}
		return f.Problem(provision.KindPorts, string(ce.Port)+"."+keyOf(ce.Field), text, ce.Advice)
	case errors.As(err, &oe):
		field, _, _ := strings.Cut(oe.Value, " ")
		return f.Problem(provision.KindPorts, string(oe.Port)+"."+keyOf(field), fmt.Sprintf("%s %s %s of the %s port", oe.Value, oe.Relation, oe.OtherValue, oe.Other),
			"the two ports need networks of their own: change one of them")
	}
	text := strings.TrimPrefix(err.Error(), sitefile.DaemonPath)
	if one := (finding{}); errors.As(err, &one) {
		text = strings.TrimPrefix(text, fmt.Sprintf(":%d", one.line))
	}
	return sitefile.Problem{Kind: provision.KindPorts, Text: strings.TrimPrefix(text, ": "), Do: "correct the file"}
}

// located is a problem with the file before it, as compilers write it, so that
// editors jump to it.
func located(path string, p sitefile.Problem) string {
	switch {
	case p.Line > 0 && p.Column > 0:
		path = fmt.Sprintf("%s:%d:%d", path, p.Line, p.Column)
	case p.Line > 0:
		path = fmt.Sprintf("%s:%d", path, p.Line)
	}
	p.Line, p.Column = 0, 0
	return path + ": " + p.String()
}

// siteSummary says what a good file amounts to, and what is odd about it.
func siteSummary(path string, f *sitefile.File, raw []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: good\n", path)
	if f.Endpoint != "" {
		fmt.Fprintf(&b, "  cloud            %s\n", f.Endpoint)
	}
	if f.CollectorID != "" {
		fmt.Fprintf(&b, "  proposed id      %s\n", f.CollectorID)
	}
	conf, err := parseConfig(sitefile.DaemonPath, string(f.Daemon()))
	if err == nil {
		fmt.Fprintf(&b, "  internal port    %s\n", portWords(conf.ports.Internal))
		fmt.Fprintf(&b, "  external port    %s\n", portWords(conf.ports.External))
	}
	if f.External.Proxy != "" {
		fmt.Fprintf(&b, "  proxy            %s\n", f.External.Proxy)
	}
	token, warning := sitefile.TokenWords(f, raw, time.Now())
	fmt.Fprintf(&b, "  token            %s\n", token)
	b.WriteString(warning)
	if at := f.Loopback(); at != "" {
		fmt.Fprintf(&b, "The cloud at %s is the computer itself: a box never reaches it.\n", at)
	}
	if name := filepath.Base(path); !strings.EqualFold(name, sitefile.Name) {
		fmt.Fprintf(&b, "The box looks for %s: call the file so on the volume, not %s.\n", sitefile.Name, name)
	}
	return b.String()
}
