package apitype

import "time"

// Held is a document whose bytes wait at the site for an approval. The cloud has
// only its header.
type Held struct {
	ID          string    `json:"id"`
	Collector   string    `json:"collector"`
	Run         string    `json:"run"`
	Device      string    `json:"device"`
	Item        string    `json:"item"`
	Outcome     string    `json:"outcome,omitempty" doc:"As of a document."`
	SHA256      string    `json:"sha256" doc:"Of the bytes that wait, after masking."`
	Size        int64     `json:"size"`
	RawSHA256   string    `json:"raw_sha256,omitempty" doc:"Of the bytes as the device sent them, where they are others."`
	RawSize     int64     `json:"raw_size,omitempty"`
	Flags       []string  `json:"flags,omitempty"`
	CollectedAt time.Time `json:"collected_at,omitzero"`
	OfferedAt   time.Time `json:"offered_at,omitzero" doc:"When its header came."`
	State       string    `json:"state" doc:"waiting, approved or declined."`
	By          string    `json:"by,omitempty" doc:"Who decided."`
	DecidedAt   time.Time `json:"decided_at,omitzero"`
}

// HeldList is a list of held documents, the oldest first.
type HeldList struct {
	Held []Held `json:"held"`
}

// Decision names held documents that are approved or declined, all or none.
type Decision struct {
	IDs []string `json:"ids" minItems:"1" maxItems:"10000" doc:"Ids of documents that wait."`
}

// MachineJob asks a collector to do something to itself.
type MachineJob struct {
	Kind     string    `json:"kind" enum:"renew-cert,restart,update,factory-reset" doc:"renew-cert: renew its certificate now; restart: restart its daemon; update: bring a release to the box; factory-reset: have the box forget its identity and its settings."`
	Release  string    `json:"release,omitempty" maxLength:"64" pattern:"^([A-Za-z0-9][A-Za-z0-9._+-]*)?$" doc:"Of an update: the version wanted; empty: the newest."`
	Source   string    `json:"source,omitempty" maxLength:"1000" doc:"Of an update: https URL of the release; empty: the cloud's own."`
	RebootAt time.Time `json:"reboot_at,omitzero" doc:"Of an update: when it is started, at most 7 days ahead; absent: at once."`
}
