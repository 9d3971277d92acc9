package edp

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
)

// The kinds of events that tell what admins do with collectors and tokens.
const (
	EventPolicyChanged     = "update-policy" // when boxes may change their release
	EventRevoked           = "collector-revoked"
	EventFactoryReset      = "factory-reset"  // asked for, or done
	EventJobCalledOff      = "job-called-off" // or what became of it after all
	EventEnrolTokenRevoked = "enrol-token-revoked"
	EventAPITokenRevoked   = "api-token-revoked"
)

// whom names who decided in an event.
func whom(by string) string { return cmp.Or(by, "somebody who gave no name") }

// voidTokens tells of the enrolment tokens that a revocation takes along.
func voidTokens(n int64) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "; the enrolment token that was bound to it is void"
	}
	return fmt.Sprintf("; the %d enrolment tokens that were bound to it are void", n)
}

// putSetting writes a setting of the cloud end, as JSON.
func putSetting(ctx context.Context, t *sql.Tx, name string, v any) error {
	text, err := asJSON(v)
	if err != nil {
		return err
	}
	_, err = exec(ctx, t, `INSERT INTO settings (name, value) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, text)
	return err
}
