// Package boottest is the machine under test: it boots an appliance image in
// QEMU, under UEFI, and lets a test see and do what an engineer beside the box
// can.
//
// [Image] names the image to be tested and [NewDisk] makes a disk of it. [Start]
// switches a [Machine] on and returns its [VM]. [VM.WaitFor] waits for words on
// the console, [VM.SwapVolume] pulls a stick out and puts another one in,
// [VM.Type] hits keys, [VM.Kill] cuts the power. Its network cards are links of
// network namespaces of the test's, so that the test is the box's neighbour.
//
// Nothing here needs KVM: where it is missing the machine is emulated, and
// everything takes ten times as long. So tests wait for words, not for times, and
// [Timeout] bounds a machine's whole life. A machine never outlives the process that
// started it.
//
// When a test fails: LWC_IMAGE_CONSOLE=FILE keeps what every console said, and
// LWC_IMAGE_JOURNAL=1 has the box write its journal there too.
//
// The tests need QEMU, OVMF, dosfstools and mtools, and where they ask for it
// swtpm; `make image-test` installs them.
package boottest
