package server

import (
	"net"
	"syscall"
)

// tcpListener makes the connections of the server conns.
type tcpListener struct{ net.Listener }

func (l tcpListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c, err
	}
	raw, err := tcp.SyscallConn()
	return &conn{TCPConn: tcp, raw: raw}, err
}

// conn is a connection that sends by one call what net/http writes by two: its buffer, which has the header and where the
// body begins, and the rest of the body.
type conn struct {
	*net.TCPConn
	raw   syscall.RawConn
	holds bool
	held  []byte
}

// hold keeps the next write back, for the one after it or for release. Only who answers may call it, and not below TLS, where others write too.
func (c *conn) hold() { c.holds = true }

// release writes what is still held.
func (c *conn) release() {
	c.holds = false
	if len(c.held) > 0 {
		c.TCPConn.Write(c.held) // an error is the connection's end, which the next write tells
		c.held = c.held[:0]
	}
}

func (c *conn) Write(p []byte) (int, error) {
	switch {
	case !c.holds:
		return c.TCPConn.Write(p)
	case len(c.held) == 0 && len(p) <= writeBuffer:
		c.held = append(c.held, p...) // p is net/http's buffer, which it uses again
		return len(p), nil
	}
	before := len(c.held)
	n, err := (&net.Buffers{c.held, p}).WriteTo(c.TCPConn)
	c.holds, c.held = false, c.held[:0]
	return max(0, int(n)-before), err
}
