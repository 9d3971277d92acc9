package apitype

import "time"

// Job is a command for a collector and how far it is.
type Job struct {
	ID        string         `json:"id"`
	Collector string         `json:"collector"`
	Kind      string         `json:"kind"`
	State     string         `json:"state" doc:"queued, accepted, running, done, failed, refused, or called-off."`
	Error     string         `json:"error,omitempty"`
	Detail    string         `json:"detail,omitempty" doc:"Progress or result in words."`
	Release   string         `json:"release,omitempty" doc:"Of an update: the version wanted."`
	Source    string         `json:"source,omitempty" doc:"Of an update: where from."`
	RebootAt  time.Time      `json:"reboot_at,omitzero" doc:"Of an update: when it is started; absent: at once."`
	Run       string         `json:"run,omitempty" doc:"The run that collects for it."`
	By        string         `json:"by,omitempty" doc:"Who asked."`
	Done      int            `json:"done" doc:"Devices finished."`
	Total     int            `json:"total"`
	Created   time.Time      `json:"created,omitzero"`
	Sent      time.Time      `json:"sent,omitzero" doc:"When it was handed to the connection of the collector last; absent: never."`
	Expires   time.Time      `json:"expires,omitzero"`
	Results   []DeviceResult `json:"results,omitempty" doc:"Of a collection: devices that finished."`
	Probes    []Probe        `json:"probes,omitempty" doc:"Of a probe: the diagnoses that are there, in the order they came."`
}

// Waits tells whether no collector has said anything of the job, so that it can be
// called off.
func (j Job) Waits() bool { return j.State == "queued" }

// Standing says in words where the job is.
func (j Job) Standing() string {
	switch {
	case j.Waits() && !j.Sent.IsZero():
		return "sent, no answer yet"
	case j.Waits():
		return "waits"
	}
	return j.State
}

// Jobs is a list of jobs, newest first.
type Jobs struct {
	Jobs []Job `json:"jobs"`
}
