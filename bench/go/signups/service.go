package main

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"

	"kratos-signup/bench/dial"
)

const signupService = "/kratos_signup.v1.SignupService/"

// Numbers of kratos_signup.v1: fields, and states of a sign-up.
const (
	tokenField  = 1 // of all answers
	signupField = 2 // likewise
	stateField  = 2 // of a Signup

	codeRequired     = 1
	passwordRequired = 2
	completed        = 3
)

// service calls signupd. Of each message a few fields are needed, all of them texts but
// one, and no generated code has to be kept for them here.
type service struct {
	connection *grpc.ClientConn
}

func newService(target string) (*service, error) {
	connection, err := dial.To(target)
	return &service{connection}, err
}

// connect has nothing left to do.
func (s *service) connect(int) error { return nil }

func (s *service) start(email string) (string, error) {
	return s.call("StartSignup", codeRequired, email)
}

func (s *service) verify(_, token, code string) (string, error) {
	return s.call("VerifyCode", passwordRequired, token, code)
}

func (s *service) finish(_, token, password string) error {
	_, err := s.call("SetPassword", completed, token, password)
	return err
}

// call sends texts as the first fields of a request, and gives the answer's token.
func (s *service) call(method string, state uint64, texts ...string) (string, error) {
	var request, answer []byte
	for index, text := range texts {
		number := protowire.Number(index + 1)
		request = protowire.AppendTag(request, number, protowire.BytesType)
		request = protowire.AppendString(request, text)
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	err := s.connection.Invoke(ctx, signupService+method, &request, &answer)
	if err != nil {
		return "", err
	}
	token, _ := field(answer, tokenField)
	signup, _ := field(answer, signupField)
	if _, got := field(signup, stateField); got != state {
		return "", fmt.Errorf("after %s the sign-up is in state %d", method, got)
	}
	return string(token), nil
}

// field finds a field of a message: its bytes, or its number.
func field(message []byte, wanted protowire.Number) ([]byte, uint64) {
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return nil, 0
		}
		message = message[size:]
		if number == wanted && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(message)
			return value, 0
		}
		if number == wanted && kind == protowire.VarintType {
			value, _ := protowire.ConsumeVarint(message)
			return nil, value
		}
		if size = protowire.ConsumeFieldValue(number, kind, message); size < 0 {
			return nil, 0
		}
		message = message[size:]
	}
	return nil, 0
}
