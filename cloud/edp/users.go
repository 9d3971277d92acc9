package edp

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"time"

	"lwc/transport/secret"
)

var userName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$`)

func checkUser(name string, role Role) error {
	if !userName.MatchString(name) {
		return fmt.Errorf("a user name has 1 to 63 letters, digits and . _ @ -, and begins with a letter or digit; got %.80q: %w", name, ErrInvalid)
	}
	return checkRole(role)
}

func checkRole(role Role) error {
	if role != RoleAdmin && role != RoleStandard {
		return fmt.Errorf("a role is admin or standard; got %.40q: %w", role, ErrInvalid)
	}
	return nil
}

// CreateUser adds a user. A name that is taken is ErrConflict, a bad name, role
// or password ErrInvalid.
func (s *Store) CreateUser(ctx context.Context, name string, role Role, password secret.Text) error {
	if err := checkUser(name, role); err != nil {
		return fmt.Errorf("adding a user: %w", err)
	}
	hash, err := s.hashPassword(ctx, password)
	if err != nil {
		return fmt.Errorf("adding user %s: %w", name, err)
	}
	n, err := exec(ctx, s.write, `INSERT INTO users (name, role, hash, created_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (name) DO NOTHING`, name, role, hash, micros(time.Now()))
	if err == nil && n == 0 {
		err = fmt.Errorf("that name is taken: %w", ErrConflict)
	}
	if err != nil {
		return fmt.Errorf("adding user %s: %w", name, err)
	}
	return nil
}

// SetPassword replaces the password of a user, whose Stamp changes with it.
func (s *Store) SetPassword(ctx context.Context, name string, password secret.Text) error {
	hash, err := s.hashPassword(ctx, password)
	if err != nil {
		return fmt.Errorf("setting the password of %s: %w", name, err)
	}
	n, err := exec(ctx, s.write, `UPDATE users SET hash = $1 WHERE name = $2`, hash, name)
	return touched(n, err, "setting the password of user", name)
}

// DeleteUser removes a user. Whoever holds sessions refuses them: User says that
// it is gone, or has another Stamp.
func (s *Store) DeleteUser(ctx context.Context, name string) error {
	n, err := exec(ctx, s.write, `DELETE FROM users WHERE name = $1`, name)
	return touched(n, err, "deleting user", name)
}

// touched turns the outcome of a statement about one thing into an error.
func touched(n int64, err error, what, name string) error {
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("%s %.80s: %w", what, name, err)
	}
	return nil
}

const userColumns = `name, role, created_at, hash`

func scanUser(r row) (User, error) {
	u, _, err := scanLogin(r)
	return u, err
}

// scanLogin scans a user with the hash of its password.
func scanLogin(r row) (u User, hash string, err error) {
	err = r.Scan(&u.Name, &u.Role, moment{&u.Created}, &hash)
	u.Stamp = digest(fmt.Appendf(nil, "%s %d %s", u.Role, micros(u.Created), hash))
	return u, hash, err
}

// Users returns all users by name.
func (s *Store) Users(ctx context.Context) ([]User, error) {
	users, err := all(ctx, s.read, scanUser, `SELECT `+userColumns+` FROM users ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("listing users: %w", err)
	}
	return users, nil
}

// User returns one user.
func (s *Store) User(ctx context.Context, name string) (User, error) {
	u, err := one(ctx, s.read, scanUser, `SELECT `+userColumns+` FROM users WHERE name = $1`, name)
	if err != nil {
		return User{}, fmt.Errorf("reading user %.80s: %w", name, err)
	}
	return u, nil
}

// Authenticate returns the user whose name and password these are, ErrDenied
// otherwise. It takes as long for a name that does not exist.
func (s *Store) Authenticate(ctx context.Context, name string, password secret.Text) (User, error) {
	u, hash, err := scanLogin(s.read.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE name = $1`, name))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return User{}, fmt.Errorf("checking a password: %w", err)
	}
	ok, err := s.matches(ctx, password, hash)
	if err != nil {
		return User{}, fmt.Errorf("checking a password: %w", err)
	}
	if !ok {
		return User{}, fmt.Errorf("the name or the password is wrong: %w", ErrDenied)
	}
	return u, nil
}
