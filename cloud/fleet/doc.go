// Package fleet is the desired configuration of a collector as people write it:
// the fleet file (YAML), the CSV import, and the rules that both and the API
// check by.
//
// ParseYAML reads a fleet file and fetches the secrets that it names; ParseCSV
// reads devices. Both report everything that is wrong at once, each with its
// line and column, and never repeat a secret. Spec.Check holds the rules. A
// Keeper puts a Spec into the store: it encrypts secrets before anything else,
// keeps what did not change as it is, and tells what changed.
package fleet
