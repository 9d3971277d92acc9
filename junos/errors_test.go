package junos

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Every kind, and every reason for which a session may be closed, has words of
// its own that say what to do.
func TestErrorAdvice(t *testing.T) {
	device := errors.New("EOF")
	seen := map[string]string{(&Error{}).advice(): "no kind"}
	for what, e := range map[string]Error{
		"hello":             {Kind: KindHello, Phase: PhaseHello, Err: device},
		"framing":           {Kind: KindFraming, Phase: PhaseRPC, Err: device},
		"rpc-timeout":       {Kind: KindRPCTimeout, Phase: PhaseRPC, Err: device},
		"stalled":           {Kind: KindStalled, Phase: PhaseRPC, Err: device},
		"too-large":         {Kind: KindTooLarge, Phase: PhaseRPC, Err: device},
		"message-id":        {Kind: KindMessageID, Phase: PhaseRPC, Err: device},
		"cancelled":         {Kind: KindCancelled, Phase: PhaseRPC, Err: device},
		"closed":            {Kind: KindClosed, Phase: PhaseRPC, Err: device},
		"closed in hello":   {Kind: KindClosed, Phase: PhaseHello, Err: device},
		"closed, pipelined": {Kind: KindClosed, Phase: PhaseRPC, Err: device, Pipelined: true},
		"closed by us":      {Kind: KindClosed, Phase: PhaseRPC, Err: errClosed},
		"not asked":         {Kind: KindClosed, Phase: PhaseRPC, Err: fmt.Errorf("%w: %w", errOver, errUnended)},
	} {
		advice := e.advice()
		if other, ok := seen[advice]; ok {
			t.Errorf("%s and %s have the same advice", what, other)
		}
		seen[advice] = what
		if len(advice) < 60 || !strings.HasSuffix(advice, ".") {
			t.Errorf("%s: %q", what, advice)
		}
	}
}
