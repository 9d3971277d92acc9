// Package broker carries messages between the cloud end and its collectors over
// MQTT.
//
// A Bus is either Embedded, a broker inside the process that a TLS listener
// feeds with ServeConn, or External, a client of a broker that stands somewhere
// else (mosquitto, EMQX; the folder deploy has their configuration). Set the
// receiver with Handle, then let messages in.
//
// Neither is trusted with anything: what matters is signed, sealed and
// acknowledged end to end (transport/wire). A Bus therefore keeps nothing, and
// promises only this: messages of one collector reach the receiver in the order
// they were sent, a receiver that blocks slows the sender down instead of
// filling memory, and Publish tells when it did not deliver.
package broker
