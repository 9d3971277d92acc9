package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"lwc/cloud/api/apitype"
	"lwc/cloud/api/view"
	"lwc/cloud/edp"
	"lwc/transport/secret"
)

func (a *API) registerAccess() {
	users := read("list-users", "/users", "Users of the portal", "access")
	users.Metadata = map[string]any{needsAdmin: true}
	huma.Register(a.huma, users, a.listUsers)
	huma.Register(a.huma, write(http.MethodPost, "create-user", "/users", "Make a user", "access"), a.createUser)
	huma.Register(a.huma, write(http.MethodPut, "set-password", "/users/{name}/password", "Set a user's password", "access"), a.setPassword)
	huma.Register(a.huma, write(http.MethodDelete, "delete-user", "/users/{name}", "Delete a user", "access"), a.deleteUser)
	tokens := read("list-api-tokens", "/api-tokens", "API tokens, without their secrets", "access")
	tokens.Metadata = map[string]any{needsAdmin: true}
	huma.Register(a.huma, tokens, a.listTokens)
	huma.Register(a.huma, write(http.MethodPost, "make-api-token", "/api-tokens", "Make an API token; shown once", "access"), a.makeToken)
	huma.Register(a.huma, write(http.MethodDelete, "delete-api-token", "/api-tokens/{id}", "Delete an API token", "access"), a.deleteToken)
}

func (a *API) listUsers(ctx context.Context, _ *struct{}) (*answer[apitype.Users], error) {
	list, err := a.cfg.Store.Users(ctx)
	if err != nil {
		return nil, a.fail("list-users", err)
	}
	return &answer[apitype.Users]{apitype.Users{Users: view.Each(list, view.User)}}, nil
}

func (a *API) createUser(ctx context.Context, in *request[apitype.NewUser]) (*answer[apitype.User], error) {
	err := a.cfg.Store.CreateUser(ctx, in.Body.Name, edp.Role(in.Body.Role), secret.FromString(in.Body.Password))
	if err != nil {
		return nil, a.fail("create-user", err)
	}
	u, err := a.cfg.Store.User(ctx, in.Body.Name)
	if err != nil {
		return nil, a.fail("create-user", err)
	}
	return &answer[apitype.User]{view.User(u)}, nil
}

// oneUser names a user in the path.
type oneUser struct {
	Name string `path:"name" maxLength:"64"`
}

// setPassword is the request of that operation.
type setPassword struct {
	Name string `path:"name" maxLength:"64"`
	Body apitype.NewPassword
}

func (a *API) setPassword(ctx context.Context, in *setPassword) (*struct{}, error) {
	return nil, a.fail("set-password", a.cfg.Store.SetPassword(ctx, in.Name, secret.FromString(in.Body.Password)))
}

func (a *API) deleteUser(ctx context.Context, in *oneUser) (*struct{}, error) {
	return nil, a.fail("delete-user", a.cfg.Store.DeleteUser(ctx, in.Name))
}

func (a *API) listTokens(ctx context.Context, _ *struct{}) (*answer[apitype.TokenInfos], error) {
	list, err := a.cfg.Store.APITokens(ctx)
	if err != nil {
		return nil, a.fail("list-api-tokens", err)
	}
	return &answer[apitype.TokenInfos]{apitype.TokenInfos{Tokens: view.Each(list, view.TokenInfo)}}, nil
}

func (a *API) makeToken(ctx context.Context, in *request[apitype.APITokenRequest]) (*answer[apitype.APIToken], error) {
	t, err := a.cfg.Issuer.APIToken(ctx, in.Body)
	if err != nil {
		return nil, a.fail("make-api-token", err)
	}
	return &answer[apitype.APIToken]{t}, nil
}

func (a *API) deleteToken(ctx context.Context, in *one) (*struct{}, error) {
	return nil, a.fail("delete-api-token", a.cfg.Store.DeleteAPIToken(ctx, in.ID, caller(ctx).Name))
}
