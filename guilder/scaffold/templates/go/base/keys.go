package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

const keysAgain = time.Minute

// keys are the platform's public keys: a JWKS in a file or behind a URL.
type keys struct {
	source string
	mutex  sync.Mutex
	readAt time.Time
	known  map[string]*ecdsa.PublicKey
}

// loadKeys fails when there is no key to begin with.
func loadKeys(source string) (*keys, error) {
	k := &keys{source: source}
	return k, k.read()
}

// find is the key of this id, or nil. A platform that changed its key is asked again, once a
// minute at most.
func (k *keys) find(id string) *ecdsa.PublicKey {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.known[id] == nil && time.Since(k.readAt) > keysAgain {
		if err := k.read(); err != nil {
			log("keys-not-read", nil)
		}
	}
	return k.known[id]
}

func (k *keys) read() error {
	k.readAt = time.Now()
	text, err := k.fetch()
	if err != nil {
		return err
	}
	var set struct {
		Keys []struct {
			Kty, Crv, Kid, X, Y string
			Use                 string `json:"guilder_use"`
		}
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return err
	}
	found := map[string]*ecdsa.PublicKey{}
	for _, key := range set.Keys {
		x, errX := base64.RawURLEncoding.DecodeString(key.X)
		y, errY := base64.RawURLEncoding.DecodeString(key.Y)
		signsRequests := key.Use == "" || key.Use == "requests" // another one signs reports
		if key.Kty != "EC" || key.Crv != "P-256" || !signsRequests || errX != nil || errY != nil {
			continue
		}
		public := &ecdsa.PublicKey{
			Curve: elliptic.P256(), X: new(big.Int).SetBytes(x), Y: new(big.Int).SetBytes(y),
		}
		if public.Curve.IsOnCurve(public.X, public.Y) {
			found[key.Kid] = public
		}
	}
	if len(found) == 0 {
		return errors.New("no P-256 key in " + k.source)
	}
	k.known = found
	return nil
}

func (k *keys) fetch() ([]byte, error) {
	if !strings.HasPrefix(k.source, "http://") && !strings.HasPrefix(k.source, "https://") {
		return os.ReadFile(k.source)
	}
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get(k.source)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d", k.source, answer.StatusCode)
	}
	return io.ReadAll(io.LimitReader(answer.Body, 1<<20))
}
