package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
)

const flows = "/self-service/registration"

// hand calls Kratos: by those calls that signupd makes, in the same order, and no more.
type hand struct {
	public, admin string
	http          http.Client
}

// answer is as much of Kratos' answer as anybody needs to go on.
type answer struct {
	ID       string `json:"id"`
	State    string `json:"state"`
	Identity struct {
		ID string `json:"id"`
	} `json:"identity"`
}

func newHand(public, admin string, concurrency int) *hand {
	connections := &http.Transport{
		MaxIdleConns: 2 * concurrency, MaxIdleConnsPerHost: concurrency,
	}
	client := http.Client{Timeout: callTimeout, Transport: connections}
	return &hand{public, admin, client}
}

func (h *hand) connect(concurrency int) error {
	failed := make(chan error, 2*concurrency)
	for _, api := range []string{h.public, h.admin} {
		var calls sync.WaitGroup
		for range concurrency {
			calls.Add(1)
			go func() {
				defer calls.Done()
				failed <- h.call(http.MethodGet, api+"/health/alive", nil, nil)
			}()
		}
		calls.Wait()
	}
	close(failed)
	for err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}

// start has a code mailed.
func (h *hand) start(email string) (string, error) {
	flow, err := h.open()
	if err != nil {
		return "", err
	}
	body := map[string]any{"method": "code", "traits": traits(email)}
	got, err := h.submit(flow, body)
	if err == nil && got.State != "sent_email" {
		err = fmt.Errorf("no code was sent: the flow says %q", got.State)
	}
	return flow, err
}

// verify hands the code in, and asks whether there is an account.
func (h *hand) verify(email, flow, code string) (string, error) {
	body := map[string]any{"method": "code", "traits": traits(email), "code": code}
	got, err := h.submit(flow, body)
	if err == nil && got.State != "passed_challenge" {
		err = fmt.Errorf("the code proved nothing: the flow says %q", got.State)
	}
	if err != nil {
		return "", err
	}
	return "", h.find(email)
}

// finish has the account made, looks at it, and ends its session.
func (h *hand) finish(email, _, password string) error {
	flow, err := h.open()
	if err != nil {
		return err
	}
	body := map[string]any{
		"method": "password", "traits": traits(email), "password": password,
	}
	got, err := h.submit(flow, body)
	if err == nil && got.Identity.ID == "" {
		err = fmt.Errorf("no account was made: the flow says %q", got.State)
	}
	if err != nil {
		return err
	}
	if err := h.find(email); err != nil {
		return err
	}
	sessions := h.admin + "/admin/identities/" + got.Identity.ID + "/sessions"
	return h.call(http.MethodDelete, sessions, nil, nil)
}

func (h *hand) open() (string, error) {
	var got answer
	err := h.call(http.MethodGet, h.public+flows+"/api", nil, &got)
	return got.ID, err
}

func (h *hand) submit(flow string, body map[string]any) (answer, error) {
	var got answer
	err := h.call(http.MethodPost, h.public+flows+"?flow="+flow, body, &got)
	return got, err
}

func (h *hand) find(email string) error {
	var found []any
	query := "?credentials_identifier=" + url.QueryEscape(email)
	return h.call(http.MethodGet, h.admin+"/admin/identities"+query, nil, &found)
}

func traits(email string) map[string]string {
	return map[string]string{"email": email}
}

// call sends one request and reads the answer's JSON into target, where there is one.
func (h *hand) call(method, to string, body map[string]any, target any) error {
	var sent io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(encoded)
	}
	request, err := http.NewRequest(method, to, sent)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Content-Type", "application/json")
	got, err := h.http.Do(request)
	if err != nil {
		return err
	}
	defer got.Body.Close()
	// Read to its end, or the connection is not used again.
	content, err := io.ReadAll(got.Body)
	if err != nil {
		return err
	}
	// 400 is how Kratos answers a flow that goes on.
	if got.StatusCode >= 400 && got.StatusCode != http.StatusBadRequest {
		return fmt.Errorf("%s was answered with HTTP status %d", method, got.StatusCode)
	}
	if target == nil {
		return nil
	}
	return json.Unmarshal(content, target)
}
