// Package job is what the program that boots a kernel and the first process under
// that kernel tell each other: what to run, by a file in the initramfs, and how
// it ended, by a line on the serial port.
package job

import (
	"encoding/json"
	"fmt"
	"os"
)

// File is where the first process finds its job.
const File = "/job.json"

// Job is what is done under one kernel, in this order.
type Job struct {
	Modules  []string // files of kernel modules, each after what it needs
	Commands []Command
}

// Command is one program run.
type Command struct {
	Name string   // for people
	Args []string // the first is the program's path
	Env  []string // all of its environment
	Dir  string   // working directory
}

// Read returns the job of the file.
func Read() (Job, error) {
	var j Job
	text, err := os.ReadFile(File)
	if err == nil {
		err = json.Unmarshal(text, &j)
	}
	if err != nil {
		return j, fmt.Errorf("reading the job: %w", err)
	}
	return j, nil
}

// Encode returns the text of the file.
func (j Job) Encode() ([]byte, error) { return json.Marshal(j) }

// last is how the line that ends the output begins. A test cannot print it by
// mistake: its output has no such control character at the start of a line.
const last = "\x1elwc-kernel-job "

// Last returns the line that ends the output; failed names the commands that did
// not succeed, and err is what kept the job from being done at all.
func Last(failed []string, err error) string {
	end := End{Failed: failed}
	if err != nil {
		end.Error = err.Error()
	}
	text, _ := json.Marshal(end) // strings alone: cannot fail
	return last + string(text)
}

// End is how a job ended.
type End struct {
	Failed []string `json:",omitempty"`
	Error  string   `json:",omitempty"`
}

// ParseLast reads the line that Last made; ok is false for any other line.
func ParseLast(line string) (end End, ok bool) {
	if len(line) < len(last) || line[:len(last)] != last {
		return End{}, false
	}
	return end, json.Unmarshal([]byte(line[len(last):]), &end) == nil
}
