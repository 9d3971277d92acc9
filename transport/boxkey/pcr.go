package boxkey

import (
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// PCR reads a platform configuration register by SHA-256: the chain of what was
// measured into it since power-on, 32 bytes, all zero while nothing was.
func PCR(path string, index uint) ([]byte, error) {
	t, err := open(path)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	answer, err := tpm2.PCRRead{PCRSelectionIn: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
		{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(index)}}}}.Execute(t)
	if err != nil {
		return nil, fmt.Errorf("reading PCR %d: %w", index, err)
	}
	if len(answer.PCRValues.Digests) != 1 {
		return nil, fmt.Errorf("reading PCR %d: the TPM keeps none by SHA-256", index)
	}
	return answer.PCRValues.Digests[0].Buffer, nil
}
