package main

import (
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	pb "example.com/signup/stubs/kratos_signup/v1"
)

// failure is what a failed call says, by google.rpc's error model.
type failure struct {
	// The name of an ErrorReason. Empty where gRPC itself failed the call: nobody knows
	// then what became of it, and repeating it tells.
	reason string
	// The rules that a password broke.
	rules []string
	// When to repeat the call; zero where waiting does not help.
	retryAfter time.Duration
	// How the sign-up stands; nil where that is not told.
	signup *pb.Signup
}

func readFailure(err error) failure {
	var read failure
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			read.reason = detail.Reason
		case *errdetails.BadRequest:
			for _, fault := range detail.FieldViolations {
				read.rules = append(read.rules, fault.Reason)
			}
		case *errdetails.RetryInfo:
			read.retryAfter = detail.RetryDelay.AsDuration()
		case *pb.Signup:
			read.signup = detail
		}
	}
	return read
}
