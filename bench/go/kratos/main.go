// Command kratos answers like Ory Kratos, from memory and at once.
//
// It speaks what a sign-up needs: registration flows by code and by password, their
// two hooks, and the look-ups of the admin API, both APIs on one port. The answers are
// those of a Kratos 1.3.1 with the reference configuration. Every code is 123456; a
// password is taken as it is, and forgotten.
//
// It also answers the two hooks, as signupd does but to everybody and without looking
// anything up: the least that is needed to sign up at a real Kratos by hand.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	rightCode = "123456"
	maxBody   = 64 * 1024
	// More hooks at once than benchmarks have calls under way.
	hookConnections = 512
)

// What the hooks answer.
const (
	hookProved = `{"messages":[{"instance_ptr":"#/traits/email","messages":` +
		`[{"id":9999001,"text":"proved","type":"info"}]}]}`
	hookAgreed = `{"identity":{"verifiable_addresses":[{"value":"{email}","via":"email",` +
		`"verified":true,"status":"completed"}],"metadata_admin":{"by":"hand"}}}`
)

// flow is a registration flow, in Kratos' words for its state.
type flow struct {
	email string
	state string
}

// kratos is everything there is.
type kratos struct {
	hook   string
	schema []byte
	http   http.Client

	mutex    sync.Mutex
	flows    map[string]*flow
	accounts map[string][]byte
}

// submission is what the service posts to a flow.
type submission struct {
	Method string `json:"method"`
	Code   string `json:"code"`
	Traits struct {
		Email string `json:"email"`
	} `json:"traits"`
}

// said is what our hooks answer.
type said struct {
	Messages []struct {
		Messages json.RawMessage `json:"messages"`
	} `json:"messages"`
	Identity struct {
		Metadata  json.RawMessage `json:"metadata_admin"`
		Addresses []struct {
			Verified bool `json:"verified"`
		} `json:"verifiable_addresses"`
	} `json:"identity"`
}

func main() {
	log.SetFlags(0)
	listen := flag.String("listen", "127.0.0.1:0", "where both APIs are served")
	hook := flag.String("hook", "", "URL of the hooks, without path")
	file := flag.String("schema", "", "the file of the identity schema")
	flag.Parse()
	schema, err := os.ReadFile(*file)
	if err != nil {
		log.Fatal(err)
	}
	made := &kratos{
		hook:   *hook,
		schema: schema,
		http: http.Client{Transport: &http.Transport{
			MaxIdleConnsPerHost: hookConnections,
		}},
		flows:    map[string]*flow{},
		accounts: map[string][]byte{},
	}
	log.Fatal(http.ListenAndServe(*listen, made.routes()))
}

func (k *kratos) routes() *http.ServeMux {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /schemas", k.schemas)
	routes.HandleFunc("GET /self-service/registration/api", k.open)
	routes.HandleFunc("GET /self-service/registration/flows", k.show)
	routes.HandleFunc("POST /self-service/registration", k.submit)
	routes.HandleFunc("GET /admin/identities", k.find)
	routes.HandleFunc("DELETE /admin/identities/{id}", gone)
	routes.HandleFunc("DELETE /admin/identities/{id}/sessions", gone)
	routes.HandleFunc("GET /admin/courier/messages", k.mails)
	routes.HandleFunc("POST /kratos/code", hookCode)
	routes.HandleFunc("POST /kratos/password", hookPassword)
	return routes
}

func (k *kratos) schemas(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, []byte(`[{"id":"user","schema":`), k.schema, []byte("}]"))
}

func (k *kratos) open(w http.ResponseWriter, _ *http.Request) {
	id := newID()
	k.mutex.Lock()
	k.flows[id] = &flow{state: "choose_method"}
	k.mutex.Unlock()
	answer(w, http.StatusOK, opened, "{flow}", id)
}

func (k *kratos) show(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	found, ok := k.flow(id)
	if !ok {
		http.NotFound(w, r)
		return
	}
	body := map[string]string{
		"choose_method": opened, "sent_email": sent, "passed_challenge": proved,
	}[found.state]
	answer(w, http.StatusOK, body, "{flow}", id, "{email}", found.email, `"{said}"`, "[]")
}

func (k *kratos) submit(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("flow")
	found, ok := k.flow(id)
	var given submission
	if !ok || json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&given) != nil {
		http.NotFound(w, r)
		return
	}
	values := []string{"{flow}", id, "{email}", given.Traits.Email}
	switch {
	case given.Method == "password":
		k.register(w, id, given.Traits.Email, values)
	case found.state == "choose_method":
		k.put(id, flow{given.Traits.Email, "sent_email"})
		answer(w, http.StatusBadRequest, sent, values...)
	case found.state != "sent_email" || given.Code != rightCode:
		answer(w, http.StatusBadRequest, wrong, values...)
	default:
		k.put(id, flow{found.email, "passed_challenge"})
		_, hook := k.ask("/kratos/code", "{}")
		values = append(values, `"{said}"`, hook.message())
		answer(w, http.StatusBadRequest, proved, values...)
	}
}

// register makes an account, if the hook agrees to it.
func (k *kratos) register(w http.ResponseWriter, id, email string, values []string) {
	asked, _ := json.Marshal(map[string]string{"flow_id": id, "email": email})
	status, hook := k.ask("/kratos/password", string(asked))
	if status != http.StatusOK {
		values = append(values, `"{said}"`, hook.message())
		answer(w, http.StatusBadRequest, refused, values...)
		return
	}
	verified := len(hook.Identity.Addresses) == 1 && hook.Identity.Addresses[0].Verified
	account := fill(identity, append(values,
		"{id}", newID(),
		`"{verified}"`, strconv.FormatBool(verified),
		`"{metadata}"`, string(hook.Identity.Metadata),
	))
	k.mutex.Lock()
	k.accounts[strings.ToLower(email)] = account
	k.mutex.Unlock()
	write(w, http.StatusOK, []byte(`{"identity":`), account, []byte("}"))
}

// ask calls a hook. An answer that cannot be read is empty, and its status 0.
func (k *kratos) ask(path, body string) (int, said) {
	var answer said
	got, err := k.http.Post(k.hook+path, "application/json", strings.NewReader(body))
	if err != nil {
		return 0, answer
	}
	defer got.Body.Close()
	content, err := io.ReadAll(io.LimitReader(got.Body, maxBody))
	if err != nil || json.Unmarshal(content, &answer) != nil {
		return 0, said{}
	}
	return got.StatusCode, answer
}

// message gives what the hook wants shown on the address, as JSON.
func (s said) message() string {
	if len(s.Messages) == 0 {
		return "[]"
	}
	return string(s.Messages[0].Messages)
}

func (k *kratos) find(w http.ResponseWriter, r *http.Request) {
	email := strings.ToLower(r.URL.Query().Get("credentials_identifier"))
	k.mutex.Lock()
	account := k.accounts[email]
	k.mutex.Unlock()
	write(w, http.StatusOK, []byte("["), account, []byte("]"))
}

func (k *kratos) mails(w http.ResponseWriter, r *http.Request) {
	now := time.Now().UTC().Format(time.RFC3339Nano)
	email := r.URL.Query().Get("recipient")
	answer(w, http.StatusOK, courier, "{email}", email, "{now}", now)
}

func hookCode(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusForbidden, []byte(hookProved))
}

func hookPassword(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Email string `json:"email"`
	}
	if json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&asked) != nil {
		http.Error(w, "no JSON", http.StatusBadRequest)
		return
	}
	answer(w, http.StatusOK, hookAgreed, "{email}", strings.ToLower(asked.Email))
}

func gone(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusNoContent)
}

func (k *kratos) flow(id string) (flow, bool) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	found, ok := k.flows[id]
	if !ok {
		return flow{}, false
	}
	return *found, true
}

func (k *kratos) put(id string, changed flow) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	*k.flows[id] = changed
}

func answer(w http.ResponseWriter, status int, body string, values ...string) {
	write(w, status, fill(body, values))
}

func write(w http.ResponseWriter, status int, parts ...[]byte) {
	header := w.Header()
	header.Set("Content-Type", "application/json; charset=utf-8")
	header.Set("Cache-Control", "private, no-cache, no-store, must-revalidate")
	header.Set("Vary", "Cookie")
	w.WriteHeader(status)
	w.Write(bytes.Join(parts, nil))
}
