package netguard

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"lwc/netguard/netguardtest"
	"lwc/testdata/need"
	"lwc/transport/proxy"
)

// envProxy names the configured proxy of a child, as external.proxy does.
const envProxy = "LWC_NETGUARD_TEST_PROXY"

// playProxied is a process whose environment names a proxy for everything. It
// reaches the cloud by HTTPS, by MQTT in TLS and in a WebSocket, all dialled
// through the External Port, and prints what became of each.
func playProxied() error {
	ctx, cancel := context.WithTimeout(context.Background(), limit(testTimeout))
	defer cancel()
	g, err := childUp(ctx)
	if err != nil {
		return err
	}
	defer g.Close()
	cloud, dial := os.Getenv(envTarget), g.External().DialContext
	if configured := os.Getenv(envProxy); configured != "" {
		u, err := proxy.ParseURL(configured)
		if err != nil {
			return err
		}
		through := &proxy.Dialer{Proxy: u, Dial: dial, Timeout: limit(actTime)}
		dial = through.DialContext
	}
	insecure := &tls.Config{InsecureSkipVerify: true} // the way counts here, not who is at its end
	done := map[string]string{
		"https": ended(get(ctx, &http.Transport{DialContext: dial, TLSClientConfig: insecure}, cloud)),
		"https that obeys the environment": ended(get(ctx,
			&http.Transport{DialContext: dial, TLSClientConfig: insecure, Proxy: http.ProxyFromEnvironment}, cloud)),
		"plain transport": ended(get(ctx, http.DefaultTransport, cloud)),
		"mqtt":            ended(connect("ssl://"+cloud, dial, insecure)),
		"mqtt in wss":     ended(connect("wss://"+cloud, dial, insecure)),
	}
	return json.NewEncoder(os.Stdout).Encode(done)
}

func ended(err error) string {
	switch {
	case err == nil:
		return "reached"
	case errors.Is(err, ErrNotAllowed):
		return "not allowed"
	}
	return err.Error()
}

func get(ctx context.Context, way http.RoundTripper, cloud string) error {
	ctx, cancel := context.WithTimeout(ctx, limit(actTime))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+cloud+"/", nil)
	if err != nil {
		return err
	}
	answer, err := way.RoundTrip(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return errors.Join(err, answer.Body.Close())
}

// connect has paho open the connection as the uplink does: through a function of
// its own. Reaching the cloud's HTTP server, which knows no MQTT, is enough.
func connect(broker string, dial func(context.Context, string, string) (net.Conn, error), config *tls.Config) error {
	var reached error = errors.New("paho never dialled")
	open := func(u *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(context.Background(), limit(actTime))
		defer cancel()
		c, err := dial(ctx, "tcp", u.Host)
		if err == nil {
			secure := tls.Client(c, config)
			err = secure.HandshakeContext(ctx)
			c = secure
		}
		reached = err
		return c, err
	}
	o := mqtt.NewClientOptions().AddBroker(broker).SetCustomOpenConnectionFn(open).
		SetConnectRetry(false).SetAutoReconnect(false).SetConnectTimeout(limit(actTime))
	token := mqtt.NewClient(o).Connect()
	if !token.WaitTimeout(2 * limit(actTime)) {
		return errors.New("connecting did not end")
	}
	return reached
}

// With every proxy variable set, nothing goes there: neither what is dialled
// through the port nor what is not.
func TestCase20ProxyVariables(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	cloud := netip.AddrPortFrom(s.External.FarAddr(false), 443)
	proxy := netip.MustParseAddrPort("192.0.2.66:3128")
	must(t, s.External.Far.Address(netguardtest.FarLink, netip.MustParsePrefix("192.0.2.66/24")))
	web := serveHTTPS(t, s, cloud)
	toProxy := sniff(t, s.External, func(frame []byte) bool { return netguardtest.Destination(frame) == proxy.Addr() })
	toCloud := sniff(t, s.External, func(frame []byte) bool { return netguardtest.Destination(frame) == cloud.Addr() && isSYN(frame) })
	got := s.proxiedChild(t, cloud, proxy)
	for what, want := range map[string]string{"https": "reached", "mqtt": "reached", "mqtt in wss": "reached", "https that obeys the environment": "not allowed"} {
		if got[what] != want {
			t.Errorf("%s: %s, want %s", what, got[what], want)
		}
	}
	if got["plain transport"] == "reached" {
		t.Error("a plain transport reached the cloud")
	}
	crossed := silent(t, "to the proxy of the environment", toProxy)
	if toCloud.Count() < 3 || web() == 0 {
		t.Errorf("%d connections to the cloud, %d requests", toCloud.Count(), web())
	}
	record(t, caseResult{Case: 20, What: "HTTPS, MQTT, wss with proxy variables: frames to the proxy", Control: toCloud.Count(), Crossed: crossed})
	proxied(t, proxy)
}

// proxiedChild starts a process whose environment names a proxy for everything, and
// returns what it says.
func (s *scene) proxiedChild(t *testing.T, cloud, proxy netip.AddrPort, more ...string) map[string]string {
	t.Helper()
	env := append((&site{config: s.config}).env(t, cloud.String()), more...)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		env = append(env, name+"=http://"+proxy.String(), strings.ToLower(name)+"=http://"+proxy.String())
	}
	line, err := startIn(t, s.Box, "proxied", env...).lines.ReadString('\n')
	must(t, err)
	got := map[string]string{}
	must(t, json.Unmarshal([]byte(line), &got))
	return got
}

// With a proxy configured, and nothing else on the list, all reach the cloud by
// it, and it alone hears of the box.
func TestCase20ConfiguredProxy(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	cloud := netip.AddrPortFrom(s.External.FarAddr(false), 443)
	configured, environment := netip.MustParseAddrPort("192.0.2.67:3128"), netip.MustParseAddrPort("192.0.2.66:3128")
	must(t, s.External.Far.Address(netguardtest.FarLink, netip.MustParsePrefix("192.0.2.66/24"), netip.MustParsePrefix("192.0.2.67/24")))
	web := serveHTTPS(t, s, cloud)
	serveTinyproxy(t, s.External.Far, configured)
	s.config.Allow = []Endpoint{{Host: configured.Addr().String(), Port: configured.Port()}}
	toProxy := sniff(t, s.External, func(frame []byte) bool { return isSYN(frame) && netguardtest.Destination(frame) == configured.Addr() })
	elsewhere := sniff(t, s.External, func(frame []byte) bool { return isSYN(frame) && netguardtest.Destination(frame) != configured.Addr() })
	got := s.proxiedChild(t, cloud, environment, envProxy+"=http://"+configured.String())
	for _, what := range []string{"https", "mqtt", "mqtt in wss"} {
		if got[what] != "reached" {
			t.Errorf("%s: %s, want reached", what, got[what])
		}
	}
	if got["plain transport"] == "reached" {
		t.Error("a plain transport reached the cloud")
	}
	crossed := silent(t, "past the proxy", elsewhere)
	if toProxy.Count() < 3 || web() == 0 {
		t.Errorf("%d connections to the proxy, %d requests", toProxy.Count(), web())
	}
	record(t, caseResult{Case: 20, What: "the same by the configured proxy: SYN to others", Control: toProxy.Count(), Crossed: crossed})
}

// serveTinyproxy runs the proxy in a host until the test ends.
func serveTinyproxy(t *testing.T, h *netguardtest.Host, at netip.AddrPort) {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "tinyproxy.conf")
	text := fmt.Sprintf("Port %d\nListen %s\nTimeout 20\nLogLevel Critical\nMaxClients 20\nConnectPort 443\n", at.Port(), at.Addr())
	must(t, os.WriteFile(conf, []byte(text), 0o600))
	cmd := exec.Command(need.Program(t, "tinyproxy"), "-d", "-c", conf)
	cmd.Stderr = os.Stderr
	must(t, h.Do(cmd.Start))
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	waitUntil(t, limit(testTimeout), "the proxy listens", func() bool {
		return h.Do(func() error {
			c, err := net.DialTimeout("tcp", at.String(), time.Second)
			if err == nil {
				err = c.Close()
			}
			return err
		}) == nil
	})
}

// proxied is the control: without a guard the same variables lead to the proxy.
func proxied(t *testing.T, proxy netip.AddrPort) {
	t.Helper()
	open := openScene(t)
	must(t, open.External.Far.Address(netguardtest.FarLink, netip.MustParsePrefix("192.0.2.66/24")))
	seen := sniff(t, open.External, func(frame []byte) bool { return netguardtest.Destination(frame) == proxy.Addr() })
	c := startIn(t, open.Box, "plain", envTarget+"="+open.External.FarAddr(false).String()+":443", "HTTP_PROXY=http://"+proxy.String())
	_, err := c.lines.ReadString('\n')
	must(t, err)
	if err := seen.Wait(within(t, testTimeout), 1); err != nil {
		t.Errorf("control: nothing goes to the proxy with nobody on guard: %v", err)
	}
}

// serveHTTPS answers at the cloud's address and counts requests.
func serveHTTPS(t *testing.T, s *scene, at netip.AddrPort) (requests func() int) {
	t.Helper()
	l, err := s.External.Far.Listen(fmt.Sprintf(":%d", at.Port()))
	must(t, err)
	served := make(chan struct{}, 100)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served <- struct{}{} }))
	_ = web.Listener.Close()
	web.Listener = l
	web.Config.ReadTimeout = limit(time.Second)
	web.StartTLS()
	t.Cleanup(web.Close)
	return func() int { return len(served) }
}
