// Package edp is the data platform of the cloud end: the one place that keeps
// what must outlive a restart. It holds users and tokens, the registry of
// collectors, the desired configuration of each (its fleet), jobs and runs, and
// the documents that collectors send.
//
// Open makes or opens the database and brings its tables up to date. A Store is
// safe for concurrent use, also by several processes over one file.
//
// What it guarantees: when a method that writes returns without an error, the
// change is on disk (a receipt may be sent); when it returns an error, nothing
// of the change is. A document is stored once for its id and once for its
// place (collector, run, device, item), however often it is sent.
//
// Documents up to 1 MiB are rows. Larger ones, and all that come in parts, are kept
// as the parts they came in: Put stores parts, Finish makes the document of them, and
// OpenDocument reads it, none of them in memory by its size. An unchanged document
// names the one that has its bytes.
//
// It keeps no secret in clear: passwords as argon2id hashes, tokens and
// sessions as SHA-256 of 128 random bits or more, device credentials as the
// vault sealed them.
package edp
