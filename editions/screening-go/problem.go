package main

import "errors"

// A Problem is a refusal as the platform understands it: a stable code, and a sentence that helps
// (RFC 9457).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Fix    string `json:"fix"`
}

func (p *Problem) Error() string { return p.Detail }

func problem(code string, status int, title, detail, fix string) *Problem {
	return &Problem{"/problems/" + code, title, status, code, detail, fix}
}

func invalid(detail string) *Problem { return invalidAs(400, detail) }

func invalidAs(status int, detail string) *Problem {
	return problem("invalid-request", status, "The request is not valid", detail,
		"Correct the value that `detail` names and send the request again.")
}

func unauthenticated(detail string) *Problem {
	return problem("unauthenticated", 401, "The request is not signed as it must be", detail,
		"Sign the request with a key of the platform that this edition knows.")
}

func notFound(status int, detail string) *Problem {
	return problem("not-found", status, "Not found", detail, "Read the manifest and the guide.")
}

func internal() *Problem {
	return problem("internal", 500, "An error on our side", "An error on our side",
		"Repeat the request; if it stays, report its Guilder-Request.")
}

// A Result is what one item gets: an answer or a problem.
type Result struct {
	Answer  any      `json:"answer,omitempty"`
	Problem *Problem `json:"problem,omitempty"`
}

// result keeps the message of an unexpected error inside: it may quote what somebody sent.
func result(answer any, err error) Result {
	var known *Problem
	switch {
	case err == nil:
		return Result{Answer: answer}
	case errors.As(err, &known):
		return Result{Problem: known}
	}
	return Result{Problem: internal()}
}
