package edp

import (
	"context"
	"errors"
	"time"

	"github.com/alexedwards/scs/v2"

	"lwc/junos"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

var errLanding = errors.New("the store is being built")

type Store struct{}

func Open(ctx context.Context, path string) (*Store, error) { return nil, errLanding }
func (s *Store) Close() error                               { return nil }
func (s *Store) NewLink(ctx context.Context, role Role, ttl time.Duration) (secret.Text, error) {
	return secret.Text{}, errLanding
}
func (s *Store) CheckLink(ctx context.Context, link secret.Text) error { return errLanding }
func (s *Store) UseLink(ctx context.Context, link secret.Text, name string, password secret.Text) (User, error) {
	return User{}, errLanding
}
func (s *Store) CreateUser(ctx context.Context, name string, role Role, password secret.Text) error {
	return errLanding
}
func (s *Store) SetPassword(ctx context.Context, name string, password secret.Text) error {
	return errLanding
}
func (s *Store) DeleteUser(ctx context.Context, name string) error { return errLanding }
func (s *Store) Users(ctx context.Context) ([]User, error)         { return nil, errLanding }
func (s *Store) User(ctx context.Context, name string) (User, error) {
	return User{}, errLanding
}
func (s *Store) Authenticate(ctx context.Context, name string, password secret.Text) (User, error) {
	return User{}, errLanding
}
func (s *Store) NewAPIToken(ctx context.Context, name string, role Role, ttl time.Duration) (id string, sec secret.Text, err error) {
	return "", secret.Text{}, errLanding
}
func (s *Store) CheckAPIToken(ctx context.Context, id string, sec secret.Text) (Principal, error) {
	return Principal{}, errLanding
}
func (s *Store) APITokens(ctx context.Context) ([]APIToken, error)   { return nil, errLanding }
func (s *Store) DeleteAPIToken(ctx context.Context, id string) error { return errLanding }
func (s *Store) NewEnrolToken(ctx context.Context, spec EnrolTokenSpec) (id string, sec secret.Text, err error) {
	return "", secret.Text{}, errLanding
}
func (s *Store) SessionStore() scs.CtxStore                      { return nil }
func (s *Store) Enrolled(ctx context.Context, e Enrolment) error { return errLanding }
func (s *Store) Collector(ctx context.Context, id string) (Collector, error) {
	return Collector{}, errLanding
}
func (s *Store) Collectors(ctx context.Context) ([]Collector, error)      { return nil, errLanding }
func (s *Store) Revoke(ctx context.Context, id string) error              { return errLanding }
func (s *Store) AllOffline(ctx context.Context) error                     { return errLanding }
func (s *Store) SawHello(ctx context.Context, h wire.Hello) error         { return errLanding }
func (s *Store) SawHealth(ctx context.Context, h wire.Health) error       { return errLanding }
func (s *Store) SawBye(ctx context.Context, collector, boot string) error { return errLanding }
func (s *Store) SawState(ctx context.Context, st wire.State) error        { return errLanding }
func (s *Store) AddEvent(ctx context.Context, e wire.Event) error         { return errLanding }
func (s *Store) Events(ctx context.Context, collector string, limit int) ([]wire.Event, error) {
	return nil, errLanding
}
func (s *Store) PutFleet(ctx context.Context, f Fleet) ([]Change, error) { return nil, errLanding }
func (s *Store) GetFleet(ctx context.Context, collector string) (Fleet, error) {
	return Fleet{}, errLanding
}
func (s *Store) PutDevices(ctx context.Context, collector string, devices []Device) ([]Change, error) {
	return nil, errLanding
}
func (s *Store) DeleteDevice(ctx context.Context, collector, id string) error { return errLanding }
func (s *Store) Devices(ctx context.Context, collector string) ([]DeviceRow, error) {
	return nil, errLanding
}
func (s *Store) SetIdentity(ctx context.Context, collector, device string, id junos.Identity) error {
	return errLanding
}
func (s *Store) SetDeviceResult(ctx context.Context, collector, run string, at time.Time, r wire.DeviceResult) error {
	return errLanding
}
func (s *Store) CreateJob(ctx context.Context, j NewJob) (Job, error) { return Job{}, errLanding }
func (s *Store) OpenJobs(ctx context.Context, collector string) ([]Job, error) {
	return nil, errLanding
}
func (s *Store) Job(ctx context.Context, id string) (Job, error)           { return Job{}, errLanding }
func (s *Store) SawJobStatus(ctx context.Context, st wire.JobStatus) error { return errLanding }
func (s *Store) RemainingDevices(ctx context.Context, run string) ([]string, error) {
	return nil, errLanding
}
func (s *Store) PutDocuments(ctx context.Context, docs []Document) ([]PutStatus, error) {
	return nil, errLanding
}
func (s *Store) PutManifest(ctx context.Context, raw []byte, m wire.Manifest, hash string) (missing []string, err error) {
	return nil, errLanding
}
func (s *Store) Runs(ctx context.Context, f RunFilter) ([]Run, error) { return nil, errLanding }
func (s *Store) Run(ctx context.Context, id string) (Run, error)      { return Run{}, errLanding }
func (s *Store) Documents(ctx context.Context, f DocumentFilter) ([]Document, error) {
	return nil, errLanding
}
func (s *Store) Document(ctx context.Context, id string) (Document, error) {
	return Document{}, errLanding
}
func (s *Store) LastComplete(ctx context.Context, collector string) (map[string]time.Time, error) {
	return nil, errLanding
}
func (s *Store) LastManifest(ctx context.Context, collector string) (string, error) {
	return "", errLanding
}
