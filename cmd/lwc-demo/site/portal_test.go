package site

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"lwc/testdata/need"
)

// The portal of a real site, opened in headless Chromium, shows the inventory.
// LWC_SCREENSHOT names a file that gets a picture of it.
func TestPortalShowsInventory(t *testing.T) {
	chromium := need.Program(t, "chromium")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	portal := "https://" + l.Addr().String()
	ctx, s := running(t, Config{Behind: 6, Faulty: true, Portal: portal})
	collect(ctx, t, s)
	forwarding, stop := context.WithCancel(ctx)
	forwarded := make(chan error, 1)
	go func() { forwarded <- s.Forward(forwarding, l) }()
	defer func() { stop(); must(t, <-forwarded) }()

	page := browse(ctx, t, chromium)
	link := strings.Replace(s.AdminLink(), CloudURL, portal, 1)
	const password = "Correct-Horse-7-Battery"
	must(t, chromedp.Do(page,
		chromedp.Navigate(link),
		chromedp.WaitVisible(chromedp.CSS(`input[name="password"]`)),
		chromedp.SendKeys(chromedp.CSS(`input[name="name"]`), "ada"),
		chromedp.SendKeys(chromedp.CSS(`input[name="password"]`), password),
		chromedp.SendKeys(chromedp.CSS(`input[name="again"]`), password),
		chromedp.Click(chromedp.CSS("button.primary")),
		chromedp.WaitVisible(chromedp.CSS(`a[href="/inventory"]`)),
		chromedp.Navigate(portal+"/inventory"),
		chromedp.WaitVisible(chromedp.CSS("#rows table")),
	))
	text, err := chromedp.Run(page, chromedp.Text(chromedp.CSS("#rows table")))
	must(t, err)
	good, _, err := s.Expected()
	must(t, err)
	for _, name := range good {
		if !strings.Contains(text, name) {
			t.Errorf("the inventory lacks %s:\n%s", name, text)
		}
	}
	if path := os.Getenv("LWC_SCREENSHOT"); path != "" {
		png, err := chromedp.Run(page, chromedp.CaptureScreenshot())
		must(t, err)
		must(t, os.WriteFile(path, png, 0o644))
	}
}

// browse starts Chromium and opens a page.
func browse(ctx context.Context, t *testing.T, chromium string) context.Context {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, // there is none for root
		chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("ignore-certificate-errors", true), // the site's own authority
		chromedp.WindowSize(1280, 900))
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(stop)
	ctx, shut := chromedp.NewContext(ctx)
	t.Cleanup(shut)
	return ctx
}
