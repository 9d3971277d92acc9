// Package chaos judges whether a site lost, doubled or changed anything, by what
// independent witnesses say: the log of the simulated devices, the manifests, and the
// bytes in the database of the cloud. It shares no code with those that it judges.
//
// Read the evidence with [Sent] and [Store] once the site owes nothing, say in a
// [Case] what was asked for, and let [Case.Judge] find what is wrong.
package chaos

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Answer is one document that a device has sent.
type Answer struct {
	Time   time.Time `json:"time"` // by the clock of the machine
	Device string    `json:"device"`
	RPC    string    `json:"rpc"`
	Item   string    `json:"item"` // empty: of no item of the catalogue
	SHA256 string    `json:"sha256"`
	Bytes  int64     `json:"bytes"`
}

// Document is a row of the store. Found is what its bytes hash to, and Length how
// many there are; both are of the bytes themselves and not of what is said of them.
type Document struct {
	ID, Run, Device, Item, Boot string
	Outcome, SHA256, RawSHA256  string
	Size                        int64
	Found                       string
	Length                      int64
}

// Manifest is a signed account as the collector wrote it.
type Manifest struct {
	Hash  string `json:"-"` // by which the store knows it
	Found string `json:"-"` // that its bytes have

	Boot     string    `json:"boot"`
	Run      string    `json:"run"`
	Job      string    `json:"job"`
	Started  time.Time `json:"started"` // by the clock of the collector
	Finished time.Time `json:"finished"`
	Previous string    `json:"previous"`
	Schedule string    `json:"schedule"`
	Window   time.Time `json:"window"`
	Mode     string    `json:"mode"`
	Section  int       `json:"section"`
	Last     bool      `json:"last"`
	Reason   string    `json:"reason"`
	Devices  []Result  `json:"devices"`
	Entries  []Entry   `json:"documents"`
}

// Result is how the visit of a device ended.
type Result struct {
	Device string `json:"device"`
	OK     bool   `json:"ok"`
	Error  string `json:"error"`
}

// Entry accounts for one item of one device.
type Entry struct {
	ID        string `json:"id"`
	Device    string `json:"device"`
	Item      string `json:"item"`
	Status    string `json:"status"`
	Outcome   string `json:"outcome"`
	SHA256    string `json:"sha256"`
	RawSHA256 string `json:"raw_sha256"`
	Size      int64  `json:"size"`
	Reason    string `json:"reason"`
	Unchanged bool   `json:"unchanged"`
}

// Run is what the store says of a run as a whole.
type Run struct {
	ID, Job, State string
	// JobState is the state of the job that asked for it; empty: none did.
	JobState string
	JobError string   // why it failed or was refused
	Devices  []string // that the job names; none: all
}

// Boot is one life of the collector, by the clock of the machine.
type Boot struct {
	ID         string
	Start, End time.Time
	Whole      bool // it ended in peace, and was never cut off: it has accounted for all

}

// Sent reads the log of the simulated devices.
func Sent(path string) ([]Answer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the log of the devices: %w", err)
	}
	defer f.Close()
	var all []Answer
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var a Answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return nil, fmt.Errorf("reading line %d of the log of the devices: %w", len(all)+1, err)
		}
		all = append(all, a)
	}
	return all, lines.Err()
}
