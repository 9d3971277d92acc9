// Package screen makes the one screen of status of the appliance: what stands on
// its display and its serial line, for whoever stands in front of it. It reads no
// key, and what it shows holds neither secrets nor facts of devices.
//
// A [View] is all that is known; [View.Lines] is the screen as text, at most
// [Rows] lines of [Columns] printable ASCII characters. [Kinds] is the closed set
// of the states that it can tell, each with what to do. A [Terminal] shows lines.
package screen
