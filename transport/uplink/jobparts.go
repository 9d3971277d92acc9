package uplink

import (
	"errors"
	"fmt"
	"slices"

	"lwc/transport/wire"
)

// maxOpenJobs is how many jobs may come piece by piece at a time; a cloud sends
// one after the other.
const maxOpenJobs = 16

var errJobPart = errors.New("its part is not one of its parts")

// jobParts puts jobs together that name more devices than one message holds. One
// goroutine uses it; its zero value is ready.
type jobParts struct{ open []*jobPieces }

type jobPieces struct {
	id      string
	devices [][]string // by part; nil: it did not come yet
	missing int
}

// join takes a message of a job, and returns the whole job once all parts came.
func (p *jobParts) join(j wire.Job) (whole wire.Job, ready bool, err error) {
	if j.Parts <= 1 {
		return j, true, nil
	}
	if j.Parts > wire.MaxJobParts || j.Part < 0 || j.Part >= j.Parts || len(j.Devices) == 0 {
		return j, false, fmt.Errorf("part %d of %d: %w", j.Part, j.Parts, errJobPart)
	}
	at := p.find(j)
	pieces := p.open[at]
	if pieces.devices[j.Part] == nil {
		pieces.devices[j.Part] = j.Devices
		pieces.missing--
	}
	if pieces.missing > 0 {
		return j, false, nil
	}
	p.open = slices.Delete(p.open, at, at+1)
	j.Devices, j.Part, j.Parts = slices.Concat(pieces.devices...), 0, 0
	return j, true, nil
}

// find returns where the pieces of a job are. The oldest of too many are
// forgotten: the cloud sends what has no answer again.
func (p *jobParts) find(j wire.Job) int {
	at := slices.IndexFunc(p.open, func(o *jobPieces) bool { return o.id == j.ID })
	if at >= 0 && len(p.open[at].devices) == j.Parts {
		return at
	}
	if at >= 0 { // it was cut up anew
		p.open = slices.Delete(p.open, at, at+1)
	}
	if len(p.open) == maxOpenJobs {
		p.open = slices.Delete(p.open, 0, 1)
	}
	p.open = append(p.open, &jobPieces{j.ID, make([][]string, j.Parts), j.Parts})
	return len(p.open) - 1
}
