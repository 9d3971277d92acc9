package netguard

import (
	"reflect"
	"slices"
	"testing"
)

// The External Port can dial, resolve names, and nothing else: no method listens
// or accepts, and none hands out what could.
func TestExternalPortHasNoWayToListen(t *testing.T) {
	typ := reflect.TypeFor[*ExternalPort]()
	var methods []string
	for i := range typ.NumMethod() {
		methods = append(methods, typ.Method(i).Name)
	}
	if !slices.Equal(methods, []string{"DialContext", "Resolver"}) {
		t.Errorf("the External Port has %q", methods)
	}
}
