// Command signups signs people up, several at once, through signupd or by direct calls
// to Kratos. Standard input has, as JSON values one after the other, the people first and
// then their codes, as they are mailed. A report goes to standard output.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	callTimeout = 60 * time.Second
	mailTimeout = 60 * time.Second
)

// people is everybody who is to be signed up.
type people struct {
	Emails   []string `json:"emails"`
	Password string   `json:"password"`
}

// mail is somebody's code.
type mail struct {
	Email string `json:"email"`
	Code  string `json:"code"`
}

// way is a way to an account. Each step gives what the next one goes on with.
type way interface {
	// connect makes connections beforehand, so that no step's time has it in it.
	connect(concurrency int) error
	start(email string) (string, error)
	verify(email, held, code string) (string, error)
	finish(email, held, password string) error
}

// report has how many microseconds each person waited at each step.
type report struct {
	Seconds float64 `json:"seconds"`
	Start   []int64 `json:"start"`
	Verify  []int64 `json:"verify"`
	Finish  []int64 `json:"finish"`
}

func main() {
	log.SetFlags(0)
	target := flag.String("signupd", "", "host:port of signupd; else it goes by hand")
	public := flag.String("public", "", "by hand: URL of Kratos' public API")
	admin := flag.String("admin", "", "by hand: URL of Kratos' admin API")
	concurrency := flag.Int("concurrency", 1, "people under way at the same time")
	flag.Parse()

	var everybody people
	input := json.NewDecoder(os.Stdin)
	check(input.Decode(&everybody))
	post := newPost(everybody.Emails)
	go post.deliver(input)
	var by way = newHand(*public, *admin, *concurrency)
	if *target != "" {
		served, err := newService(*target)
		check(err)
		by = served
	}
	check(by.connect(*concurrency))
	made := walk(by, everybody, post, *concurrency)
	check(json.NewEncoder(os.Stdout).Encode(made))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// walk signs everybody up, several at once, each from the first step to the last.
func walk(by way, everybody people, post post, concurrency int) report {
	count := len(everybody.Emails)
	made := report{
		Start: make([]int64, count), Verify: make([]int64, count),
		Finish: make([]int64, count),
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	begin := time.Now()
	for range concurrency {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for index := int(next.Add(1) - 1); index < count; {
				made.signUp(by, index, everybody, post)
				index = int(next.Add(1) - 1)
			}
		}()
	}
	workers.Wait()
	made.Seconds = time.Since(begin).Seconds()
	return made
}

// signUp takes one person to an account.
func (r report) signUp(by way, index int, everybody people, post post) {
	email := everybody.Emails[index]
	var held string
	r.Start[index] = timed(func() (err error) {
		held, err = by.start(email)
		return
	})
	code := post.wait(email)
	r.Verify[index] = timed(func() (err error) {
		held, err = by.verify(email, held, code)
		return
	})
	r.Finish[index] = timed(func() error {
		return by.finish(email, held, everybody.Password)
	})
}

// timed takes a step and gives the microseconds it took.
func timed(step func() error) int64 {
	begin := time.Now()
	check(step())
	return time.Since(begin).Microseconds()
}

// post is everybody's mailbox, for one mail each.
type post map[string]chan string

func newPost(emails []string) post {
	boxes := post{}
	for _, email := range emails {
		boxes[email] = make(chan string, 1)
	}
	return boxes
}

// deliver reads mails until there are no more.
func (p post) deliver(input *json.Decoder) {
	for {
		var one mail
		err := input.Decode(&one)
		if err == io.EOF {
			return
		}
		check(err)
		p[one.Email] <- one.Code
	}
}

func (p post) wait(email string) string {
	select {
	case code := <-p[email]:
		return code
	case <-time.After(mailTimeout):
		check(fmt.Errorf("no mail came in %s", mailTimeout))
		return ""
	}
}
