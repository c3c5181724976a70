package main

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"math/big"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	covered         = `"@method" "@authority" "@path" "content-digest"`
	signatureSecond = 30
	skewSeconds     = 5
)

var (
	digestForm = regexp.MustCompile(`(?:^|, *)sha-256=:([A-Za-z0-9+/=]+):`)
	inputForm  = regexp.MustCompile(
		`^([a-z*][a-z0-9_.*-]*)=(\(([^)]*)\)((?:;[a-z]+=(?:\d{1,15}|"[^"\\]*"))*))$`)
	parameterForm = regexp.MustCompile(`;([a-z]+)=(\d+|"[^"]*")`)
)

// verify says why the platform did not send this request, or nil: RFC 9421 over the digest of the
// body (RFC 9530).
func verify(request *http.Request, body []byte, known *keys, now time.Time) error {
	digest := request.Header.Get("Content-Digest")
	claim := digestForm.FindStringSubmatch(digest)
	real := sha256.Sum256(body)
	if claim == nil || !sameBytes(claim[1], real[:]) {
		return unauthenticated("Content-Digest is not the digest of the body")
	}

	input := inputForm.FindStringSubmatch(request.Header.Get("Signature-Input"))
	if input == nil {
		return unauthenticated("Signature-Input is not one signature")
	}
	label, parameters := input[1], input[2]
	if input[3] != covered {
		return unauthenticated("the signature must cover " + covered)
	}
	given := map[string]string{}
	for _, pair := range parameterForm.FindAllStringSubmatch(input[4], -1) {
		given[pair[1]] = strings.Trim(pair[2], `"`)
	}
	if given["alg"] != "ecdsa-p256-sha256" {
		return unauthenticated("alg is not the agreed one")
	}
	if !fresh(given["created"], given["expires"], now.Unix()) {
		return unauthenticated("the signature is too old, or not valid yet")
	}
	key := known.find(given["keyid"])
	if key == nil {
		return unauthenticated("keyid names no key of the platform")
	}

	base := strings.Join([]string{
		`"@method": ` + request.Method,
		`"@authority": ` + strings.ToLower(request.Host),
		`"@path": ` + request.URL.EscapedPath(),
		`"content-digest": ` + digest,
		`"@signature-params": ` + parameters,
	}, "\n")
	encoded := request.Header.Get("Signature")
	if !strings.HasPrefix(encoded, label+"=:") || !strings.HasSuffix(encoded, ":") {
		return unauthenticated("Signature has another label than Signature-Input")
	}
	encoded = strings.TrimSuffix(strings.TrimPrefix(encoded, label+"=:"), ":")
	signature, err := base64.StdEncoding.DecodeString(encoded)
	hash := sha256.Sum256([]byte(base))
	// r and s, 32 bytes each, not DER
	if err != nil || len(signature) != 64 || !ecdsa.Verify(key, hash[:],
		new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return unauthenticated("the signature does not hold")
	}
	return nil
}

func sameBytes(encoded string, wanted []byte) bool {
	found, err := base64.StdEncoding.DecodeString(encoded)
	return err == nil && subtle.ConstantTimeCompare(found, wanted) == 1
}

func fresh(created, expires string, now int64) bool {
	from, err1 := strconv.ParseInt(created, 10, 64)
	to, err2 := strconv.ParseInt(expires, 10, 64)
	return err1 == nil && err2 == nil &&
		from <= now+skewSeconds && now < to && to-from <= signatureSecond
}
