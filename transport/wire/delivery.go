package wire

// Delivery is what became of one document that was handed to the uplink. It never
// travels.
type Delivery struct {
	Receipt
	Sent      int64 // bytes that left for it, without redelivery; of a shared frame its part
	Unchanged bool  // it was told without a body
}

// What the uplink says besides of a document whose body did not leave: for want of
// an approval, or of memory. No message holds these.
const (
	Withheld = ReceiptStatus("withheld")
	Dropped  = ReceiptStatus("dropped")
)
