package keeper

import (
	"context"
	"crypto/rand"
	"fmt"

	"lwc/cloud/edp"
	"lwc/cloud/vault"
	"lwc/transport/wire"
)

// maskingKeySize is that of the HMAC that pseudonyms are made with.
const maskingKeySize = 32

// newMaskingKey gives a fleet a key of its own for pseudonyms. Nobody gets to
// see it: it is encrypted at once, and leaves only sealed to its collector.
func (k *Keeper) newMaskingKey(f *edp.Fleet) error {
	key := make([]byte, maskingKeySize)
	if _, err := rand.Read(key); err != nil {
		return fmt.Errorf("making a masking key: %w", err)
	}
	defer clear(key)
	f.Masking.Version = wire.NewID()
	f.Masking.Cipher = k.vault.Seal(vault.MaskingKey(f.Collector), key)
	return nil
}

// RotateMasking gives a collector a new masking key: from then on the same value
// has another pseudonym than in documents from before.
func (k *Keeper) RotateMasking(ctx context.Context, collector string) (Result, error) {
	return k.edit(ctx, collector, false, func(old edp.Fleet) (edp.Fleet, error) {
		if old.Version == 0 {
			return old, fmt.Errorf("the fleet of collector %q: %w", collector, edp.ErrNotFound)
		}
		err := k.newMaskingKey(&old)
		return old, err
	})
}

// Prepare gives a masking key to each collector whose fleet has none, as those
// do that were stored before there were any.
func (k *Keeper) Prepare(ctx context.Context) error {
	all, err := k.store.Collectors(ctx)
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.ConfigVersion == 0 {
			continue
		}
		if _, err := k.edit(ctx, c.ID, false, func(old edp.Fleet) (edp.Fleet, error) { return old, nil }); err != nil {
			return err
		}
	}
	return nil
}
