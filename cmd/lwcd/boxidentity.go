package main

import (
	"context"
	"crypto"
	"errors"
	"io/fs"
	"time"

	"lwc/transport/boxkey"
	"lwc/transport/uplink"
)

// tpmPoll is how often a TPM that is away is asked for.
const tpmPoll = 5 * time.Second

// load reads the identity. While its key is in a TPM that is not there, it says so
// and waits: the driver may come late, and a disk may be put back. It never makes
// another identity instead.
func (m *membership) load(ctx context.Context) (uplink.Identity, error) {
	for told := ""; ; {
		id, err := uplink.Load(m.conf.stateDir, m.conf.tpm)
		m.keyless.Store(lacksTPM(err))
		if !lacksTPM(err) {
			return id, err
		}
		told = m.withheld(err, told)
		if !sleep(ctx, tpmPoll) {
			return uplink.Identity{}, nil
		}
	}
}

func lacksTPM(err error) bool {
	return errors.Is(err, boxkey.ErrNoTPM) || errors.Is(err, boxkey.ErrForeign)
}

// withheld tells of a key that cannot be used here, in the log once for each cause.
func (m *membership) withheld(err error, told string) string {
	advice := "switch the TPM on in the firmware's set-up, or put the disk back into its own machine"
	if errors.Is(err, boxkey.ErrForeign) {
		advice = "put the disk back into its own machine; or revoke this collector in the cloud, wipe the box (factory reset, or empty the state folder) and enrol it anew"
	}
	if err.Error() != told {
		m.log.Error("the identity of this box cannot be used", "error", err, "advice", advice)
	}
	m.say("the identity cannot be used: %v; %s", err, advice)
	return err.Error()
}

// newKey returns the key to enrol with. The error is about this box, or ctx ended.
func (m *membership) newKey(ctx context.Context) (crypto.Signer, error) {
	for told := ""; ; {
		key, err := pendingKey(m.conf.stateDir, m.conf.tpm)
		switch {
		case err == nil:
			if key.lost != nil {
				m.log.Warn("the key of an enrolment that was cut off cannot be used: a new one takes its place", "error", key.lost)
			}
			m.tellPlace(key.Signer, key.whyFile)
			return key.Signer, nil
		case !lacksTPM(err):
			return nil, &stateError{err}
		}
		told = m.withheld(err, told)
		if !sleep(ctx, tpmPoll) {
			return nil, ctx.Err()
		}
	}
}

// tellPlace says where the new key lives. A machine without a TPM is nothing to
// warn of; one that cannot be used is.
func (m *membership) tellPlace(key crypto.Signer, why error) {
	place := string(boxkey.PlaceOf(key))
	switch {
	case why == nil:
		m.log.Info("the identity key", "place", place)
	case errors.Is(why, fs.ErrNotExist), m.conf.tpm == "":
		m.log.Info("the identity key lies in a file: this machine has no TPM", "place", place)
	default:
		m.log.Warn("the identity key lies in a file: the TPM cannot be used", "place", place, "error", why)
	}
}
