package netguard

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// actTime bounds what a guardian tries on behalf of a test.
const actTime = 2 * time.Second

// playBox holds the ports, tells each event and does what it is told, one line
// of JSON each.
func playBox() error {
	var mu sync.Mutex // held while a line is written
	out := json.NewEncoder(os.Stdout)
	say := func(m saying) {
		mu.Lock()
		defer mu.Unlock()
		_ = out.Encode(m) // nobody listens any more when that fails
	}
	g, err := childUp(context.Background())
	if err != nil {
		say(saying{Answer: err.Error(), Code: ErrorCode(err)})
		return nil
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		for e := range g.Events() {
			say(saying{Event: &e})
		}
	}()
	say(saying{Answer: "up"})
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		say(actFor(g, strings.Fields(lines.Text())))
	}
	err = g.Close()
	<-told
	return err
}

// actFor does what one command says: "state", "verify", "plain CLOUD DEVICE" or
// "internal NETWORK ADDRESS" and "external NETWORK ADDRESS", which dial.
func actFor(g *Guard, words []string) saying {
	ctx, cancel := context.WithTimeout(context.Background(), actTime)
	defer cancel()
	switch words[0] {
	case "state":
		s := g.State()
		return saying{Answer: string(s.Status), State: &s}
	case "verify":
		report, err := g.Verify(ctx)
		if err == nil {
			err = report.Err()
		}
		return answered("clean", err)
	case "plain":
		return saying{Answer: strings.Join(plainDials(words[1:]), "; ")}
	}
	dial := g.Internal().DialContext
	if words[0] == string(ExternalSide) {
		dial = g.External().DialContext
	}
	c, err := dial(ctx, words[1], words[2])
	if err == nil {
		defer c.Close()
	}
	return answered("connected", err)
}

func answered(well string, err error) saying {
	if err != nil {
		return saying{Answer: err.Error(), Code: ErrorCode(err)}
	}
	return saying{Answer: well}
}

// playPlain is a process of the box that knows nothing of the guard.
func playPlain() error {
	fmt.Println(strings.Join(plainDials(strings.Fields(os.Getenv(envTarget))), "; "))
	return nil
}

// plainDials tries what a careless line of code would do, for each address and
// a name, and returns what succeeded.
func plainDials(addresses []string) (succeeded []string) {
	ctx, cancel := context.WithTimeout(context.Background(), limit(actTime))
	defer cancel()
	try := func(what string, f func() (io.Closer, error)) {
		if c, err := f(); err == nil {
			_ = c.Close()
			succeeded = append(succeeded, what)
		}
	}
	client := http.Client{Transport: http.DefaultTransport}
	for _, a := range addresses {
		try("dial "+a, func() (io.Closer, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", a) })
		try("http "+a, func() (io.Closer, error) {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a+"/", nil)
			if err != nil {
				return nil, err
			}
			answer, err := client.Do(r)
			if err != nil {
				return nil, err
			}
			return answer.Body, nil
		})
		try("udp "+a, func() (io.Closer, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, "udp", a)
			if err == nil {
				_, err = c.Write([]byte("plain"))
			}
			return c, err
		})
	}
	if _, err := net.DefaultResolver.LookupHost(ctx, "cloud.example"); err == nil {
		succeeded = append(succeeded, "lookup")
	}
	return succeeded
}
