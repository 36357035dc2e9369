package fetch

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// certificate makes one that is its own authority.
func certificate(t *testing.T, host string, until time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: until.AddDate(-1, 0, 0), NotAfter: until}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	raw, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key, Leaf: leaf}
}

// breaking accepts connections and breaks the first n before anything is said.
type breaking struct {
	net.Listener
	n atomic.Int64
}

func (l *breaking) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil && l.n.Add(-1) >= 0 {
		c.Close()
	}
	return c, err
}

// A certificate that is not right is an error at once, with what to do; a broken
// handshake is tried again; https never becomes http on the way.
func TestTLS(t *testing.T) {
	t.Parallel()
	tomorrow := time.Now().AddDate(0, 0, 1)
	good := certificate(t, "127.0.0.1", tomorrow)
	for name, tt := range map[string]struct {
		cert     tls.Certificate
		breaks   int64  // first connections that break
		distrust bool   // the client does not know the authority
		to       string // redirected there first
		text     string // "": it works
		hint     string
		conns    int64 // connections; 0: any number
	}{
		"right":                     {cert: good, conns: 1},
		"unknown authority":         {cert: good, distrust: true, text: "unknown authority", hint: "SSL_CERT_FILE", conns: 1},
		"another host's":            {cert: certificate(t, "other.invalid", tomorrow), text: "127.0.0.1", hint: "SSL_CERT_FILE", conns: 1},
		"expired":                   {cert: certificate(t, "127.0.0.1", time.Now().AddDate(0, 0, -1)), text: "expired", hint: "clock", conns: 1},
		"handshake breaks twice":    {cert: good, breaks: 2, conns: 3},
		"handshake breaks for ever": {cert: good, breaks: 1 << 40, text: "EOF|reset|closed", conns: 5},
		"leads to http":             {cert: good, to: "http", text: "leads from https to plain http", conns: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "plain") }))
			t.Cleanup(plain.Close)
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if tt.to == "http" {
					http.Redirect(w, r, plain.URL+"/f?secret=1", http.StatusFound)
					return
				}
				io.WriteString(w, "data")
			}))
			counted := &breaking{Listener: srv.Listener}
			counted.n.Store(tt.breaks)
			srv.Listener = counted
			srv.Config.ErrorLog = log.New(io.Discard, "", 0)
			srv.TLS = &tls.Config{Certificates: []tls.Certificate{tt.cert}}
			srv.StartTLS()
			t.Cleanup(srv.Close)
			roots := x509.NewCertPool()
			if !tt.distrust {
				roots.AddCert(tt.cert.Leaf)
			}
			transport := NewTransport(0)
			transport.TLSClientConfig = &tls.Config{RootCAs: roots}
			t.Cleanup(transport.CloseIdleConnections)
			c := quickClient()
			c.HTTP = &http.Client{Transport: transport}
			dir := t.TempDir()
			_, err := c.GetFile(t.Context(), srv.URL+"/f", filepath.Join(dir, "f"), Expect{})
			if tt.text == "" {
				if err != nil {
					t.Error(err)
				}
			} else {
				found := false
				for text := range strings.SplitSeq(tt.text, "|") {
					found = found || err != nil && strings.Contains(err.Error(), text)
				}
				if !found || fault.KindOf(err) != fault.Network || !strings.Contains(err.Error(), srv.URL) || strings.Contains(err.Error(), "secret") {
					t.Errorf("kind %d, %v", fault.KindOf(err), err)
				}
				if hint := fault.Hint(err); !strings.Contains(hint, tt.hint) {
					t.Errorf("hint %q lacks %q", hint, tt.hint)
				}
				left(t, dir)
			}
			if conns := tt.breaks - counted.n.Load(); tt.conns != 0 && conns != tt.conns {
				t.Errorf("%d connections, want %d", conns, tt.conns)
			}
		})
	}
}

// A server without TLS where TLS is expected stays one: asked once.
func TestNoTLS(t *testing.T) {
	t.Parallel()
	s := serve(t, []byte("data"))
	address := "https" + strings.TrimPrefix(s.URL, "http") + "/f"
	_, err := quickClient().GetBytes(t.Context(), address, 10)
	if fault.KindOf(err) != fault.Network || !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "HTTP response to HTTPS client") {
		t.Errorf("kind %d, %v", fault.KindOf(err), err)
	}
}
