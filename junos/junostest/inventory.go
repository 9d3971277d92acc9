package junostest

// Inventory is what a client must know of a fleet, in the form that junosim
// prints: all that a fleet file needs.
type Inventory struct {
	Devices  []InventoryHost `json:"devices"`
	Bastions []InventoryHost `json:"bastions"`
	// ClientKey is an OpenSSH private key (PEM) that may log in everywhere, and
	// ClientCert a certificate for it, which UserCA has signed.
	ClientKey  string `json:"client_key"`
	ClientCert string `json:"client_cert"`
	UserCA     string `json:"user_ca"` // authorized_keys line
	HostCA     string `json:"host_ca"` // authorized_keys line; signs host certificates, if there are any
}

// InventoryHost is one device or bastion.
type InventoryHost struct {
	Name     string `json:"name"`
	Model    string `json:"model,omitempty"`
	HostName string `json:"host_name,omitempty"`
	Product  string `json:"product,omitempty"`
	Release  string `json:"release,omitempty"`
	Address  string `json:"address"`
	Port     uint16 `json:"port"`
	HostKey  string `json:"host_key"` // authorized_keys line
	Username string `json:"username"`
	Password string `json:"password"`
	Bastion  string `json:"bastion,omitempty"` // that it is behind
	Fault    Fault  `json:"fault,omitempty"`
	// Superuser says that the account may do everything on the device.
	Superuser bool `json:"superuser,omitempty"`
}

// Inventory describes the fleet. Ports that the kernel picks are 0 before Start.
func (f *Fleet) Inventory() Inventory {
	inv := Inventory{Devices: []InventoryHost{}, Bastions: []InventoryHost{}, ClientKey: f.clientPEM,
		ClientCert: f.clientCert, UserCA: f.UserCA(), HostCA: f.HostCA()}
	for _, d := range f.devices {
		inv.Devices = append(inv.Devices, InventoryHost{Name: d.Name, Model: string(d.Model), HostName: d.HostName, Product: d.Product,
			Release: d.Release, Address: d.Addr.Addr().String(), Port: d.Addr.Port(), HostKey: d.HostKey, Username: d.User,
			Password: d.Password, Bastion: d.Behind, Fault: d.Fault(), Superuser: d.Superuser})
	}
	for _, b := range f.bastions {
		inv.Bastions = append(inv.Bastions, InventoryHost{Name: b.Name, Address: b.Addr.Addr().String(), Port: b.Addr.Port(),
			HostKey: b.HostKey, Username: b.User, Password: b.Password, Fault: b.Fault()})
	}
	return inv
}
