package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"

	"lwc/junos"
	"lwc/junos/junostest"
)

//go:embed pyez.py
var pyezScript string

// python is Debian's, which has the package python3-junos-eznc.
const python = "/usr/bin/python3"

type pyezOrder struct {
	Devices []junostest.InventoryHost
	RPCs    []string
}

// runPyEZ collects with PyEZ, one device after the other.
func runPyEZ(ctx context.Context, devices []junostest.InventoryHost, items []junos.Item, stderr io.Writer) (measure, error) {
	o := pyezOrder{Devices: devices}
	for _, it := range items {
		o.RPCs = append(o.RPCs, it.RPC())
	}
	var m measure
	if err := talk(ctx, o, &m, stderr, python, "-c", pyezScript); err != nil {
		return m, fmt.Errorf("measuring PyEZ (is python3-junos-eznc installed?): %w", err)
	}
	if m.Devices == 0 {
		return m, errors.New("measuring PyEZ: it could read no device to the end")
	}
	return m, nil
}
