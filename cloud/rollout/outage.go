package rollout

import "time"

// Outage is a time in which no box could be heard, since the cloud itself was down.
type Outage struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Deaf is how much of the time since a box was heard last does not count towards its
// silence. The outages are in their order, without overlap. One that begins after the box
// was silent for long enough changes nothing: a restart of the cloud lifts no hold.
func Deaf(heard time.Time, outages []Outage) (sum time.Duration) {
	for _, o := range outages {
		from := o.From
		if from.Before(heard) {
			from = heard
		}
		if from.Sub(heard)-sum > silence {
			break
		}
		if o.To.After(from) {
			sum += o.To.Sub(from)
		}
	}
	return sum
}
