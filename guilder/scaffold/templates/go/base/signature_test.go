package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const body = `{"tenant":7,"items":[]}`

var (
	now        = time.Unix(1_800_000_000, 0)
	private, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	known      = &keys{
		known:  map[string]*ecdsa.PublicKey{"k1": &private.PublicKey},
		readAt: time.Now(),
	}
)

// signed is a request as the platform sends it.
func signed(t *testing.T, created int64, keyid, parts string) *http.Request {
	t.Helper()
	request := httptest.NewRequest("POST", "http://127.0.0.1:8401/x/v1/y", strings.NewReader(body))
	sum := sha256.Sum256([]byte(body))
	digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	parameters := fmt.Sprintf(`(%s);created=%d;expires=%d;keyid="%s";alg="ecdsa-p256-sha256"`,
		parts, created, created+30, keyid)
	base := "\"@method\": POST\n\"@authority\": 127.0.0.1:8401\n\"@path\": /x/v1/y\n" +
		"\"content-digest\": " + digest + "\n\"@signature-params\": " + parameters
	hash := sha256.Sum256([]byte(base))
	r, s, err := ecdsa.Sign(rand.Reader, private, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	raw := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	request.Header.Set("Content-Digest", digest)
	request.Header.Set("Signature-Input", "guilder="+parameters)
	request.Header.Set("Signature", "guilder=:"+base64.StdEncoding.EncodeToString(raw)+":")
	return request
}

func TestWhatThePlatformSignedHolds(t *testing.T) {
	request := signed(t, now.Unix(), "k1", covered)
	if err := verify(request, []byte(body), known, now.Add(29*time.Second)); err != nil {
		t.Fatal(err)
	}
}

func TestWhatItDidNotSignIsRefused(t *testing.T) {
	created := now.Unix()
	cases := map[string]struct {
		request *http.Request
		change  func(*http.Request)
		body    string
		now     time.Time
	}{
		"another body":   {request: signed(t, created, "k1", covered), body: "{}"},
		"another path":   {request: signed(t, created, "k1", covered), change: toPath},
		"another method": {request: signed(t, created, "k1", covered), change: toPut},
		"another host":   {request: signed(t, created, "k1", covered), change: toHost},
		"unsigned":       {request: signed(t, created, "k1", covered), change: bare},
		"unknown key":    {request: signed(t, created, "k2", covered)},
		"covers less":    {request: signed(t, created, "k1", `"@method"`)},
		"from later":     {request: signed(t, created+60, "k1", covered)},
		"old":            {request: signed(t, created, "k1", covered), now: now.Add(30 * time.Second)},
	}
	for name, c := range cases {
		if c.change != nil {
			c.change(c.request)
		}
		if c.body == "" {
			c.body = body
		}
		if c.now.IsZero() {
			c.now = now
		}
		if verify(c.request, []byte(c.body), known, c.now) == nil {
			t.Errorf("%s holds", name)
		}
	}
}

func toPath(r *http.Request) { r.URL.Path = "/x/v1/z" }
func toPut(r *http.Request)  { r.Method = "PUT" }
func toHost(r *http.Request) { r.Host = "elsewhere" }
func bare(r *http.Request)   { r.Header.Del("Signature-Input") }

func TestTheWireRefusesWhatIsNoBatch(t *testing.T) {
	if err := prepare(); err != nil {
		t.Fatal(err)
	}
	about := Manifest{Contract: contract, Edition: "B", Version: "1.0.0", Digest: "sha256:0"}
	open := &edition{about: about}
	for text, status := range map[string]int{
		`{"tenant":7,"items":[1]}`:            200, // the item is refused, the batch answered
		`{"tenant":7,"items":[]}`:             400,
		`{"tenant":"7","items":[1]}`:          400,
		`{"Tenant":7,"items":[1]}`:            400,
		`{"tenant":7,"items":[1],"more":1}`:   400,
		`{"tenant":7`:                         400,
		`{"tenant":1e40,"items":[1]}`:         400,
		strings.Repeat("[", 100_000):          400,
		"{\"tenant\":7,\"items\":[\"\xff\"]}": 400,
	} {
		request := httptest.NewRequest("POST", operationPath, bytes.NewReader([]byte(text)))
		request.Header.Set("Content-Type", "application/json")
		response := httptest.NewRecorder()
		open.ServeHTTP(response, request)
		if response.Code != status {
			t.Errorf("%.40q: %d, not %d", text, response.Code, status)
		}
		if response.Header().Get("Guilder-Edition") != about.banner() {
			t.Errorf("%.40q: no banner", text)
		}
	}
}

func TestTheGoldenVectorOfTheGuideHolds(t *testing.T) {
	const kid = "5PZTL_z52kmjw9P1Fpwr-1n_ggkaRa5msioscY49waE"
	file := filepath.Join(t.TempDir(), "keys.json")
	jwks := `{"keys":[{"kty":"EC","crv":"P-256","kid":"` + kid + `",` +
		`"x":"bUctKwGwDylx7_YZfmAx7eDNjmjdnLU2hczwJuZTyzA",` +
		`"y":"HCn7caoNgpQxPqwZ6KJhJOjGabl3YEQI5t4SqMa2PAc"}]}`
	if err := os.WriteFile(file, []byte(jwks), 0o600); err != nil {
		t.Fatal(err)
	}
	golden, err := loadKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	item := `{"amount":{"amount":"%s","currency":"EUR"},"at":"2026-03-02T12:00:00Z",` +
		`"operation":"book_transfer","product":"current"}`
	body := fmt.Sprintf(`{"items":[`+item+`,`+item+`],"tenant":7}`, "1000.00", "1e3")
	address := "http://pricing.company-x.example/pricing/v1/quotes"
	request := httptest.NewRequest("POST", address, strings.NewReader(body))
	request.Header.Set("Content-Digest", "sha-256=:8LtBd/lrj5OWr8t6G969gX4zSgaf/gdyTZSp766r/nI=:")
	request.Header.Set("Signature-Input", `guilder=(`+covered+`);created=1800000000`+
		`;expires=1800000030;keyid="`+kid+`";alg="ecdsa-p256-sha256"`)
	request.Header.Set("Signature", "guilder=:s/tPs+Po9hXJsG8PtGWcxowusYaUlGN3AHDybm3eTh2eFs+"+
		"qUqL2YR1VHVtUw9d6QkSoYUFNt5S25SGnEEwMNg==:")
	if err := verify(request, []byte(body), golden, now); err != nil {
		t.Error(err)
	}
	request.URL.Path = "/pricing/v1/quote"
	if verify(request, []byte(body), golden, now) == nil {
		t.Error("another path holds")
	}
}
