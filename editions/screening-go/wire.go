package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	manifestPath   = "/.well-known/guilder-edition"
	mostItems      = 256
	largestRequest = 4 << 20
	longestWait    = 10 * time.Second
)

// A Batch is what the platform asks in one request: items of one tenant.
type Batch struct {
	Tenant   int64
	Items    []json.RawMessage
	Deadline time.Time // when the platform stops waiting
}

// edition is the wire: a manifest, and one operation that answers a batch. Without keys it
// believes everybody: for trying only.
type edition struct {
	about Manifest
	keys  *keys
}

func (e *edition) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	began, about, status := time.Now(), fields{}, http.StatusOK
	document, err := e.respond(response, request, about)
	kind := "application/json"
	if err != nil {
		var known *Problem
		if !errors.As(err, &known) {
			known = internal()
		}
		document, status, kind = known, known.Status, "application/problem+json"
		about["problem"] = known.Code
	}
	text, err := json.Marshal(document)
	if err != nil {
		text, status = []byte("{}"), http.StatusInternalServerError
	}
	response.Header().Set("Content-Type", kind)
	response.Header().Set("Guilder-Edition", e.about.banner())
	response.WriteHeader(status)
	_, _ = response.Write(text)
	id := request.Header.Get("Guilder-Request")
	if len(id) > 80 {
		id = id[:80]
	}
	about["request"], about["status"] = id, status
	about["ms"] = time.Since(began).Milliseconds()
	log("answered", about)
}

func (e *edition) respond(
	response http.ResponseWriter, request *http.Request, about fields,
) (any, error) {
	switch route := request.Method + " " + request.URL.Path; route {
	case "GET " + manifestPath:
		return e.about, nil
	case "POST " + operationPath:
		batch, err := e.batch(response, request)
		if err != nil {
			return nil, err
		}
		results := answerBatch(batch)
		problems := 0
		for _, found := range results {
			if found.Problem != nil {
				problems++
			}
		}
		about["tenant"], about["items"], about["problems"] = batch.Tenant, len(results), problems
		return map[string]any{"items": results}, nil
	}
	switch request.URL.Path {
	case manifestPath:
		response.Header().Set("Allow", "GET")
	case operationPath:
		response.Header().Set("Allow", "POST")
	default:
		return nil, notFound(http.StatusNotFound, "nothing is offered here")
	}
	return nil, notFound(http.StatusMethodNotAllowed, "this method is not offered here")
}

func (e *edition) batch(response http.ResponseWriter, request *http.Request) (Batch, error) {
	wait := longestWait
	if ms, err := strconv.Atoi(request.Header.Get("Guilder-Deadline-Ms")); err == nil && ms > 0 {
		if asked := time.Duration(ms) * time.Millisecond; asked < wait {
			wait = asked
		}
	}
	deadline := time.Now().Add(wait)
	body, err := io.ReadAll(http.MaxBytesReader(response, request.Body, largestRequest))
	if err != nil {
		return Batch{}, invalidAs(http.StatusRequestEntityTooLarge, "the body is too large")
	}
	if e.keys != nil {
		if err := verify(request, body, e.keys, time.Now()); err != nil {
			return Batch{}, err
		}
	}
	kind := strings.TrimSpace(strings.Split(request.Header.Get("Content-Type"), ";")[0])
	if !strings.EqualFold(kind, "application/json") {
		return Batch{}, invalidAs(415, "the content type must be application/json")
	}
	if !utf8.Valid(body) || !json.Valid(body) {
		return Batch{}, invalid("the body is not JSON")
	}
	members, err := object(body, "tenant items", "")
	if err != nil {
		return Batch{}, err
	}
	found := Batch{Deadline: deadline}
	if json.Unmarshal(members["tenant"], &found.Tenant) != nil || found.Tenant < 1 {
		return Batch{}, invalid("tenant must be a positive whole number")
	}
	err = json.Unmarshal(members["items"], &found.Items)
	if err != nil || len(found.Items) < 1 || len(found.Items) > mostItems {
		return Batch{}, invalid("items must be a list of 1 to " + strconv.Itoa(mostItems))
	}
	for i, item := range found.Items {
		found.Items[i] = bytes.TrimSpace(item)
	}
	return found, nil
}
