package junos

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
)

// canned answers each request on a loopback connection with the same document of
// about n bytes, without message-id.
func canned(b *testing.B, n int) net.Conn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	doc := []byte("<rpc-reply>" + strings.Repeat("<x>y</x>", n/8) + "</rpc-reply>" + delimiter)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, hello10+delimiter)
		in := bufio.NewReader(c)
		for first := true; ; first = false {
			for last := []byte(nil); !bytes.HasSuffix(last, []byte(delimiter)); {
				if last, err = in.ReadSlice('>'); err != nil {
					return
				}
				if bytes.HasSuffix(last, []byte(delimiter[3:])) {
					break
				}
			}
			if !first {
				c.Write(doc)
			}
		}
	}()
	b.Cleanup(func() { l.Close(); <-done })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// BenchmarkCall sets what a session costs an RPC beside a client that only writes,
// reads and looks for the delimiter.
func BenchmarkCall(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"1KB", 1 << 10}, {"17KB", 17 << 10}} {
		b.Run(size.name+"/raw", func(b *testing.B) { benchRaw(b, size.n) })
		b.Run(size.name+"/discard", func(b *testing.B) { benchSession(b, size.n, 1, (*Reply).Discard) })
		b.Run(size.name+"/read", func(b *testing.B) { benchSession(b, size.n, 1, readAway) })
		b.Run(size.name+"/ahead", func(b *testing.B) { benchSession(b, size.n, 8, (*Reply).Discard) })
	}
}

func readAway(r *Reply) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func benchSession(b *testing.B, n, depth int, take func(*Reply) error) {
	s, err := Open(context.Background(), canned(b, n), Options{Depth: depth})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	item, _ := Lookup("show-version")
	items := []Item{item, item, item, item, item, item, item, item, item, item}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Ahead(context.Background(), items...); err != nil {
			b.Fatal(err)
		}
		r, err := s.Call(context.Background(), item)
		if err == nil {
			err = take(r)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func benchRaw(b *testing.B, n int) {
	c := canned(b, n)
	defer c.Close()
	c.Write(frame("<hello/>", false))
	buf := make([]byte, bufferSize)
	c.Read(buf)
	request := frame(`<rpc message-id="1"><get-software-information/></rpc>`, false)
	b.ReportAllocs()
	for b.Loop() {
		c.Write(request)
		for k := 0; !bytes.HasSuffix(buf[:k], []byte(delimiter)); {
			m, err := c.Read(buf[k:])
			if err != nil {
				b.Fatal(err)
			}
			k += m
		}
	}
}
