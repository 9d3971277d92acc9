package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"lwc/cloud/edp"
	"lwc/cloud/fleet"
)

// fail turns an error into a problem. What a caller can mend is told in full;
// the rest is logged and named by its operation.
func (a *API) fail(op string, err error) error {
	var problems fleet.Problems
	var known huma.StatusError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.As(err, &problems):
		return unprocessable(problems)
	case errors.Is(err, edp.ErrNotFound):
		return huma.Error404NotFound(err.Error())
	case errors.Is(err, edp.ErrConflict):
		return huma.Error409Conflict(words(err, edp.ErrConflict))
	case errors.Is(err, edp.ErrInvalid):
		return huma.Error422UnprocessableEntity(words(err, edp.ErrInvalid))
	}
	a.cfg.Logger.Error("answering a request", "operation", op, "error", err)
	return huma.Error500InternalServerError("the server could not do this: its log says why")
}

// words are an error's own, without those that the status says.
func words(err, status error) string {
	return strings.TrimSuffix(err.Error(), ": "+status.Error())
}

// unprocessable lists what is wrong with a fleet.
func unprocessable(problems fleet.Problems) error {
	details := make([]error, len(problems))
	for i, p := range problems {
		d := &huma.ErrorDetail{Message: p.Text, Location: "body"}
		switch {
		case p.Line > 0:
			d.Location = fmt.Sprintf("body line %d column %d", p.Line, p.Column)
		case p.Path != "":
			d.Location = "body." + p.Path
		}
		details[i] = d
	}
	return huma.Error422UnprocessableEntity("nothing was changed: the fleet breaks the rules", details...)
}

// writeProblem answers outside of an operation.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	// A caller that went away needs no answer.
	_ = json.NewEncoder(w).Encode(huma.ErrorModel{Title: http.StatusText(status), Status: status, Detail: detail})
}
