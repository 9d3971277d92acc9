package halves

import (
	"context"
	"errors"
	"io/fs"

	"lwc/netguard"
	"lwc/transport/wire"
)

// failure is an error on its way to the other half.
type failure struct {
	Ports string `json:"ports,omitempty"` // by netguard.ErrorCode
	Kind  string `json:"kind,omitempty"`  // of kinds; empty: none that is told apart
	Text  string `json:"text"`
}

// kinds are the errors that the other half tells apart with errors.Is, besides
// those of netguard.ErrorCode.
var kinds = []struct {
	name string
	err  error
}{
	{"not-exist", fs.ErrNotExist},
	{"permission", fs.ErrPermission},
	{"token", wire.ErrToken},
	{"busy", ErrBusy},
	{"unknown-call", ErrUnknownCall},
	{"protocol", ErrProtocol},
	{"refused", ErrRefused},
	{"deadline", context.DeadlineExceeded},
	{"canceled", context.Canceled},
}

// maxText bounds the words of an error.
const maxText = 2000

func fail(err error) *failure {
	f := &failure{Text: err.Error(), Ports: netguard.ErrorCode(err)}
	if len(f.Text) > maxText {
		f.Text = f.Text[:maxText]
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			f.Kind = k.name
			break
		}
	}
	return f
}

// Error implements error with the words of the other half.
func (f *failure) Error() string { return f.Text }

// Unwrap returns the error that the other half meant.
func (f *failure) Unwrap() error {
	if f.Ports != "" {
		return netguard.ErrorFromCode(f.Ports, f.Text)
	}
	for _, k := range kinds {
		if k.name == f.Kind {
			return k.err
		}
	}
	return nil
}
