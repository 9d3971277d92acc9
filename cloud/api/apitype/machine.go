package apitype

// IdentityText says where the key of a box lives, and what that is worth.
func IdentityText(word string) string {
	switch word {
	case "tpm":
		return "in the TPM: a copy of the disk is no copy of the box"
	case "file":
		return "in a file: who copies the disk copies the box"
	}
	return word
}

// SecureBootText says what Secure Boot does on a box.
func SecureBootText(word string) string {
	switch word {
	case "on":
		return "on: only signed systems start"
	case "off":
		return "off: who holds the box can start another system"
	}
	return word
}

// CommandLineText says whether the kernel was started as the image says.
func CommandLineText(word string) string {
	switch word {
	case "as-built":
		return "as built"
	case "extended":
		return "extended: somebody gave the kernel more words than the image holds"
	}
	return word
}
