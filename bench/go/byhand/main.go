// Command byhand signs people up by direct calls to Kratos: those, in the same order,
// that signupd makes, and nothing else. People come in as a JSON array on standard
// input; a report goes to standard output.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	callTimeout = 60 * time.Second
	flows       = "/self-service/registration"
)

// person is somebody to sign up, as far as the step needs to know.
type person struct {
	Email    string `json:"email"`
	Flow     string `json:"held"`
	Code     string `json:"code"`
	Password string `json:"password"`
}

// report has one entry per person, in the order in which they came.
type report struct {
	Seconds float64  `json:"seconds"`
	Micros  []int64  `json:"micros"`
	Flows   []string `json:"held"`
}

// answer is as much of Kratos' answer as anybody needs to go on.
type answer struct {
	ID       string `json:"id"`
	State    string `json:"state"`
	Identity struct {
		ID string `json:"id"`
	} `json:"identity"`
}

// kratos is where the calls go.
type kratos struct {
	public, admin string
	http          http.Client
}

func main() {
	log.SetFlags(0)
	public := flag.String("public", "", "URL of Kratos' public API")
	admin := flag.String("admin", "", "URL of Kratos' admin API")
	step := flag.String("step", "", "start, verify or password")
	concurrency := flag.Int("concurrency", 1, "people under way at the same time")
	flag.Parse()

	var people []person
	check(json.NewDecoder(os.Stdin).Decode(&people))
	connections := &http.Transport{
		MaxIdleConns: 2 * *concurrency, MaxIdleConnsPerHost: *concurrency,
	}
	at := &kratos{*public, *admin, http.Client{
		Timeout: callTimeout, Transport: connections,
	}}
	steps := map[string]func(person) (string, error){
		"start": at.start, "verify": at.verify, "password": at.password,
	}
	at.connect(*concurrency)
	made := walk(people, steps[*step], *concurrency)
	check(json.NewEncoder(os.Stdout).Encode(made))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// connect makes the connections, so that no call's time has it in it.
func (k *kratos) connect(concurrency int) {
	for _, api := range []string{k.public, k.admin} {
		var calls sync.WaitGroup
		for range concurrency {
			calls.Add(1)
			go func() {
				defer calls.Done()
				check(k.call(http.MethodGet, api+"/health/alive", nil, nil))
			}()
		}
		calls.Wait()
	}
}

// walk takes one step with everybody.
func walk(people []person, step func(person) (string, error), concurrency int) report {
	made := report{
		Micros: make([]int64, len(people)), Flows: make([]string, len(people)),
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	begin := time.Now()
	for range concurrency {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for {
				index := int(next.Add(1) - 1)
				if index >= len(people) {
					return
				}
				called := time.Now()
				flow, err := step(people[index])
				check(err)
				made.Micros[index] = time.Since(called).Microseconds()
				made.Flows[index] = flow
			}
		}()
	}
	workers.Wait()
	made.Seconds = time.Since(begin).Seconds()
	return made
}

// start has a code mailed.
func (k *kratos) start(who person) (string, error) {
	flow, err := k.open()
	if err != nil {
		return "", err
	}
	got, err := k.submit(flow, map[string]any{"method": "code", "traits": traits(who)})
	if err == nil && got.State != "sent_email" {
		err = fmt.Errorf("no code was sent: the flow says %q", got.State)
	}
	return flow, err
}

// verify hands the code in, and asks whether there is an account.
func (k *kratos) verify(who person) (string, error) {
	body := map[string]any{"method": "code", "traits": traits(who), "code": who.Code}
	got, err := k.submit(who.Flow, body)
	if err == nil && got.State != "passed_challenge" {
		err = fmt.Errorf("the code proved nothing: the flow says %q", got.State)
	}
	if err != nil {
		return "", err
	}
	return who.Flow, k.find(who)
}

// password has the account made, looks at it, and ends its session.
func (k *kratos) password(who person) (string, error) {
	flow, err := k.open()
	if err != nil {
		return "", err
	}
	body := map[string]any{
		"method": "password", "traits": traits(who), "password": who.Password,
	}
	got, err := k.submit(flow, body)
	if err == nil && got.Identity.ID == "" {
		err = fmt.Errorf("no account was made: the flow says %q", got.State)
	}
	if err != nil {
		return "", err
	}
	if err := k.find(who); err != nil {
		return "", err
	}
	sessions := k.admin + "/admin/identities/" + got.Identity.ID + "/sessions"
	return flow, k.call(http.MethodDelete, sessions, nil, nil)
}

func (k *kratos) open() (string, error) {
	var got answer
	err := k.call(http.MethodGet, k.public+flows+"/api", nil, &got)
	return got.ID, err
}

func (k *kratos) submit(flow string, body map[string]any) (answer, error) {
	var got answer
	err := k.call(http.MethodPost, k.public+flows+"?flow="+flow, body, &got)
	return got, err
}

func (k *kratos) find(who person) error {
	var found []any
	query := "?credentials_identifier=" + url.QueryEscape(who.Email)
	return k.call(http.MethodGet, k.admin+"/admin/identities"+query, nil, &found)
}

func traits(who person) map[string]string {
	return map[string]string{"email": who.Email}
}

// call sends one request and reads the answer's JSON into target, where there is one.
func (k *kratos) call(method, to string, body map[string]any, target any) error {
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
	got, err := k.http.Do(request)
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
