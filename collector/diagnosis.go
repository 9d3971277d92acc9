package collector

import (
	"context"
	"errors"
	"fmt"

	"lwc/junos"
)

// Phases and kinds that the collector itself finds. The others come from the
// session and from the Dialer.
const (
	phaseConfig  = "config"
	phaseAuth    = "auth"
	phaseCollect = "collect"
	phaseStore   = "store"
	// phaseSchedule is before a visit: the device never had its turn.
	phaseSchedule = "schedule"
	// phaseSubsystem follows the log-in at the device.
	phaseSubsystem = "subsystem"

	kindUnknownDevice = "unknown-device"
	kindOverrun       = "overrun"
	kindBadConfig     = "bad-configuration"
	kindNotTried      = "not-tried"
	kindDeadline      = "deadline"
	kindBlocked       = "no-memory"
	kindStopped       = "stopped"
	kindInternal      = "internal"
	kindDenied        = "denied"
	kindMalformed     = "malformed"
	kindRPCError      = "rpc-error"

	// The kinds of others that decide over another attempt. A bastion's own
	// begin with ofBastion.
	ofBastion     = "bastion-"
	kindAuth      = "auth"
	kindLocked    = "auth-locked-out"
	kindClosed    = "closed"
	kindThrottled = "throttled"
	kindKeyChange = "host-key-changed"
)

// diagnosed is an error that knows what an operator should be told.
type diagnosed interface {
	error
	Diagnosis() (phase, kind, advice string)
}

// failure is why a device, or one of its items, was not collected.
type failure struct {
	phase, kind, advice string
	hop                 string // that refused, where the Dialer knows it
	pipelined           bool   // it may come from several requests under way
}

// diagnose turns whatever ended a collection into words.
func diagnose(ctx context.Context, err error) failure {
	switch cause := context.Cause(ctx); {
	case errors.Is(err, errBlocked):
		return failure{phase: phaseCollect, kind: kindBlocked,
			advice: "The cloud has not confirmed earlier documents, and the memory for them is full, so collection stopped. Check the uplink; what is missing is collected with the next run."}
	case errors.Is(cause, errDeviceTime):
		return failure{phase: phaseCollect, kind: kindDeadline,
			advice: "The device answered too slowly: its collection was stopped at the time limit. Check the load of its routing engine and the path to it, or give it a smaller profile."}
	case cause != nil:
		return failure{phase: phaseCollect, kind: kindStopped,
			advice: "The collector was stopped before the device was collected. Nothing is wrong with the device."}
	}
	var d diagnosed
	if !errors.As(err, &d) {
		return failure{phase: phaseCollect, kind: kindInternal, advice: err.Error()}
	}
	f := failure{hop: failedHop(err)}
	f.phase, f.kind, f.advice = d.Diagnosis()
	var e *junos.Error
	f.pipelined = errors.As(err, &e) && e.Pipelined
	return f
}

func failedHop(err error) string {
	var h interface{ FailedHop() string }
	if errors.As(err, &h) {
		return h.FailedHop()
	}
	return ""
}

// refused tells whether a credential was refused: that is never tried again.
func (f failure) refused() bool { return f.of(kindAuth) || f.of(kindLocked) }

// of tells whether a failure is of that kind, at a device or at a bastion.
func (f failure) of(kind string) bool { return f.kind == kind || f.kind == ofBastion+kind }

// passing tells whether a failure is likely to be gone soon. A connection that is
// cut during the log-in may be a refusal without words: that is not repeated.
func (f failure) passing() bool {
	return (f.of(kindClosed) || f.of(kindThrottled)) && f.phase != phaseAuth
}

// itemOnly tells whether the session can go on with the next item.
func itemOnly(err error) bool {
	var e *junos.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Kind == junos.KindRPCTimeout || e.Kind == junos.KindStalled || e.Kind == junos.KindTooLarge
}

// nothingUsable is the failure of a device whose documents are all errors or no
// XML: it was reached, and nothing is known of it.
func nothingUsable(last junos.Result) failure {
	f := failure{phase: phaseCollect, kind: kindRPCError, advice: last.Advice()}
	switch last.Outcome {
	case junos.Denied:
		f.kind = kindDenied
	case junos.Malformed:
		f.kind = kindMalformed
	}
	return f
}

func notTried(l login, by string) failure {
	return failure{phase: phaseAuth, kind: kindNotTried, advice: fmt.Sprintf(
		"Not tried: %q refused the credential %q in this run, and more failures could lock the account. Correct the credential and collect again.", by, l.credential)}
}

func refusedEarlier(r refusal) failure {
	return failure{phase: phaseAuth, kind: kindNotTried, advice: fmt.Sprintf(
		"Not tried: %q refused the credential %q before. It is tried again when the credential has changed, or when a collection of the device is asked for.", r.hop, r.login.credential)}
}
