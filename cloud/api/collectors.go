package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"lwc/cloud/api/apitype"
	"lwc/cloud/api/view"
)

// answer is a response with a JSON body.
type answer[T any] struct{ Body T }

// request is a request with a JSON body.
type request[T any] struct{ Body T }

// oneCollector names the collector in the path.
type oneCollector struct {
	Collector string `path:"collector" maxLength:"63" doc:"Collector id."`
}

func (a *API) registerCollectors() {
	huma.Register(a.huma, read("list-collectors", "/collectors", "All collectors", "collectors"), a.listCollectors)
	huma.Register(a.huma, read("get-collector", "/collectors/{collector}", "One collector", "collectors"), a.getCollector)
	huma.Register(a.huma, write(http.MethodPost, "revoke-collector", "/collectors/{collector}/revoke", "Shut a collector out and end its session", "collectors"), a.revokeCollector)
	huma.Register(a.huma, write(http.MethodPost, "make-enrol-token", "/enrol-tokens", "Make a token that enrols collectors; shown once", "collectors"), a.makeEnrolToken)
	open := read("list-enrol-tokens", "/enrol-tokens", "Tokens that still enrol somebody; never the token itself", "collectors")
	open.Metadata = map[string]any{needsAdmin: true}
	huma.Register(a.huma, open, a.listEnrolTokens)
	revoke := write(http.MethodDelete, "revoke-enrol-token", "/enrol-tokens/{id}", "Make a token that enrols collectors worthless", "collectors")
	revoke.Description = "A collector that enrolled with it stays."
	huma.Register(a.huma, revoke, a.revokeEnrolToken)
	huma.Register(a.huma, read("list-events", "/events", "What collectors report for an operator to know", "collectors"), a.listEvents)
}

func (a *API) listCollectors(ctx context.Context, _ *struct{}) (*answer[apitype.Collectors], error) {
	list, err := a.cfg.Store.Collectors(ctx)
	if err != nil {
		return nil, a.fail("list-collectors", err)
	}
	return &answer[apitype.Collectors]{apitype.Collectors{Collectors: view.Each(list, view.Collector)}}, nil
}

func (a *API) getCollector(ctx context.Context, in *oneCollector) (*answer[apitype.Collector], error) {
	c, err := a.cfg.Store.Collector(ctx, in.Collector)
	if err != nil {
		return nil, a.fail("get-collector", err)
	}
	return &answer[apitype.Collector]{view.Collector(c)}, nil
}

func (a *API) revokeCollector(ctx context.Context, in *oneCollector) (*answer[apitype.Collector], error) {
	if err := a.cfg.Store.Revoke(ctx, in.Collector, caller(ctx).Name); err != nil {
		return nil, a.fail("revoke-collector", err)
	}
	a.cfg.Hub.Revoked(in.Collector)
	return a.getCollector(ctx, in)
}

func (a *API) makeEnrolToken(ctx context.Context, in *request[apitype.EnrolTokenRequest]) (*answer[apitype.EnrolToken], error) {
	t, err := a.cfg.Issuer.EnrolToken(ctx, caller(ctx).Name, in.Body)
	if err != nil {
		return nil, a.fail("make-enrol-token", err)
	}
	return &answer[apitype.EnrolToken]{t}, nil
}

func (a *API) listEnrolTokens(ctx context.Context, _ *struct{}) (*answer[apitype.OpenEnrolTokens], error) {
	list, err := a.cfg.Store.OpenEnrolTokens(ctx)
	if err != nil {
		return nil, a.fail("list-enrol-tokens", err)
	}
	return &answer[apitype.OpenEnrolTokens]{apitype.OpenEnrolTokens{URL: a.cfg.Issuer.URL, Tokens: view.Each(list, view.OpenEnrolToken)}}, nil
}

func (a *API) revokeEnrolToken(ctx context.Context, in *one) (*struct{}, error) {
	return nil, a.fail("revoke-enrol-token", a.cfg.Store.RevokeEnrolToken(ctx, in.ID, caller(ctx).Name))
}

// eventsQuery chooses events.
type eventsQuery struct {
	Collector string `query:"collector" maxLength:"63" doc:"Only of this collector."`
	Limit     int    `query:"limit" minimum:"1" maximum:"10000" default:"100"`
}

func (a *API) listEvents(ctx context.Context, in *eventsQuery) (*answer[apitype.Events], error) {
	list, err := a.cfg.Store.Events(ctx, in.Collector, in.Limit)
	if err != nil {
		return nil, a.fail("list-events", err)
	}
	return &answer[apitype.Events]{apitype.Events{Events: view.Each(list, view.Event)}}, nil
}
