package portal_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"lwc/cloud/api/apitest"
	"lwc/cloud/edp"
	"lwc/testdata/need"
)

// tab is a headless Chromium. Everything that a page complains of, a violation
// of its policy among it, fails the test.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex // guards complaints
	complaints []string
}

func open(t *testing.T) *tab {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(need.Program(t, "chromium")), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, // as root there is none
		chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("ignore-certificate-errors", true), // the test's own authority
		chromedp.WindowSize(1280, 900))
	ctx, stop := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(stop)
	ctx, shut := chromedp.NewContext(ctx)
	t.Cleanup(shut)
	b := &tab{t: t, ctx: ctx}
	must(t, chromedp.Listen(ctx, b.listen))
	must(t, chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, at *chromedp.Target) error {
		if _, err := cdp.Call(ctx, at, log.Enable, cdp.Empty{}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, at, runtime.Enable, cdp.Empty{})
		return err
	})))
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, c := range b.complaints {
			t.Errorf("the browser complains: %s", c)
		}
	})
	return b
}

func (b *tab) listen(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := ev.(type) {
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		// A form that is wrong on purpose; a test that types before the page has
		// put the cursor into its first field.
		if !strings.Contains(e.Entry.Text, "status of 422") && !strings.Contains(e.Entry.Text, "Autofocus processing") {
			b.complaints = append(b.complaints, e.Entry.Text)
		}
	}
}

// do carries out steps, within a time that is many times what they take.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	must(b.t, chromedp.Do(ctx, steps...))
}

// visit opens a page and waits for something in it.
func (b *tab) visit(url, wait string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url), seen(wait))
}

func seen(selector string) chromedp.Action[chromedp.Void] {
	wait := chromedp.WaitVisible(chromedp.CSS(selector))
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		for {
			v, err := wait(ctx, t)
			// What it looked at was of the page before.
			if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "Could not find node") {
				return v, err
			}
		}
	}
}

func click(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.Click(chromedp.CSS(selector))
}

func keys(selector, text string) chromedp.Action[chromedp.Void] {
	return chromedp.SendKeys(chromedp.CSS(selector), text)
}

// until waits for a JavaScript expression to be true.
func (b *tab) until(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second) // a page that goes away while it is asked
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(15*time.Second)))
	must(b.t, err)
}

func (b *tab) text(selector string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	s, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS(selector)))
	must(b.t, err)
	return s
}

// picture saves what the browser shows, where LWC_SCREENSHOTS names a folder.
func (b *tab) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("LWC_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	must(b.t, err)
	must(b.t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600))
}

// logIn comes by a one-time link, as a person does.
func (b *tab) logIn(c *apitest.Cloud) {
	b.t.Helper()
	link, err := c.Issuer.Link(b.t.Context(), edp.RoleAdmin, time.Hour)
	must(b.t, err)
	b.visit(link, "input[name=again]")
	b.picture("link")
	b.do(keys("input[name=name]", "ada"), keys("input[name=password]", "correct horse"),
		keys("input[name=again]", "correct horse"), click("button.primary"), seen("nav.main"))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A person comes by the link, sees the inventory, filters it, and reads a fact.
func TestInventoryInABrowser(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	b := open(t)
	b.logIn(c)
	b.picture("overview")
	b.do(click(`a[href="/inventory"]`), seen("#rows table"))
	b.picture("inventory")
	if s := b.text("#rows"); !strings.Contains(s, "edge-1") || !strings.Contains(s, "mx240") || !strings.Contains(s, "23.4R1.9") || !strings.Contains(s, "JN120000") {
		t.Errorf("the inventory lacks something: %s", s)
	}
	// The filter works as one types, without a reload.
	b.do(keys("input[name=q]", "edge-2"))
	b.until(`document.querySelectorAll("#rows tbody tr").length === 1`)
	if s := b.text("#rows"); !strings.Contains(s, "edge-2") || strings.Contains(s, "edge-1") {
		t.Errorf("the filter left: %s", s)
	}
	b.do(click("#rows tbody a"), seen("dl.facts"))
	b.picture("device")
	b.do(chromedp.Click(`//a[text()="show-version"]`), seen("#xml"))
	if s := b.text("#xml"); s != strings.TrimSuffix(apitest.Reply, "\n") && s != apitest.Reply {
		t.Errorf("the document reads %q", s)
	}
	b.picture("document")
}

// A collection is watched to its end without a reload.
func TestProgressInABrowser(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	b := open(t)
	b.logIn(c)
	b.visit(c.URL+"/collectors/"+apitest.Collector, "form button.primary")
	b.picture("collector")
	b.do(click("form button.primary"), seen("#progress"))
	b.picture("job-begin")
	jobs, err := c.Store.OpenJobs(t.Context(), apitest.Collector)
	must(t, err)
	if len(jobs) != 1 {
		t.Fatalf("%d jobs are open", len(jobs))
	}
	c.Work(jobs[0])
	b.until(`document.querySelectorAll("#progress tbody tr").length === 3 && !document.querySelector("#progress").hasAttribute("hx-get")`)
	b.picture("job")
	if s := b.text("#progress"); !strings.Contains(s, "4 of 6 documents stored") || !strings.Contains(s, "check the credential lab") {
		t.Errorf("the progress reads: %s", s)
	}
}

// Every page is shown once, for the eye.
func TestPagesInABrowser(t *testing.T) {
	c := apitest.Start(t)
	job := c.Fill()
	b := open(t)
	b.logIn(c)
	for name, path := range map[string]string{
		"collectors": "/collectors", "devices": "/devices", "device-failed": "/collectors/" + apitest.Collector + "/devices/edge-3",
		"runs": "/runs", "run": "/runs/" + job.Run, "events": "/events", "enrol": "/enrol", "access": "/access",
		"logins": "/collectors/" + apitest.Collector + "/access", "add-device": "/collectors/" + apitest.Collector + "/add-device",
		"import": "/collectors/" + apitest.Collector + "/import", "api": "/api/docs",
		"delete": "/collectors/" + apitest.Collector + "/devices/edge-3/delete",
	} {
		b.visit(c.URL+path, "h1")
		b.picture(name)
	}
	b.visit(c.URL+"/collectors/"+apitest.Collector+"/import", "textarea")
	b.do(keys("textarea", "id,address,credential\nx,nowhere at all,lap\n"), click("main form button.primary"), seen("#problems"))
	b.picture("import-wrong")
	if s := b.text("#problems"); !strings.Contains(s, "line 2, column 3") || !strings.Contains(s, `did you mean "lab"?`) {
		t.Errorf("the import says: %s", s)
	}
	b.visit(c.URL+"/enrol", "input[name=collector]")
	b.do(click(`form[action="/enrol"] button.primary`), seen("#token-id"))
	if s := b.text("#token"); !strings.Contains(s, "enrol-token --revoke "+b.text("#token-id")) {
		t.Errorf("the token: %s", s)
	}
	b.picture("enrol-token")
}
