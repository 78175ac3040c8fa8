// Command signup is one whole sign-up, as a front end calls it:
//
//	signup TARGET ADDRESS
//
// It writes questions to standard error, reads one answer a line from standard input,
// and writes the id of the new identity to standard output.
package main

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "example.com/signup/stubs/kratos_signup/v1"
)

//go:generate buf generate
//go:generate cp ../service_config.json stubs/

//go:embed stubs/service_config.json
var serviceConfig string

// Longer than the slowest answer. All attempts of a call share it.
const deadline = 60 * time.Second

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: signup TARGET ADDRESS")
	}
	connection, err := grpc.NewClient(
		os.Args[1],
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithUnaryInterceptor(withDeadline),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()

	client := pb.NewSignupServiceClient(connection)
	done, err := signUp(context.Background(), client, os.Args[2])
	if err != nil {
		failure := readFailure(err)
		log.Fatalf("No account: %s %v", failure.reason, err)
	}
	if done.State != pb.SignupState_SIGNUP_STATE_COMPLETED {
		log.Fatalf("%s has an account already.", done.MaskedEmail)
	}
	fmt.Println(done.IdentityId)
}

func withDeadline(
	ctx context.Context, method string, request, answer any,
	connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	return invoke(ctx, method, request, answer, connection, options...)
}

// signUp returns a sign-up that is COMPLETED or ALREADY_REGISTERED. It returns an error
// if a call failed and asking the person again does not help.
func signUp(
	ctx context.Context, client pb.SignupServiceClient, address string,
) (*pb.Signup, error) {
	answers := bufio.NewScanner(os.Stdin)
	// One id for each press of the button, also for its retries: a retry with the same
	// id sends no second mail.
	requestID := uuid.NewString()
	started, err := client.StartSignup(
		ctx, &pb.StartSignupRequest{Email: address, RequestId: requestID},
	)
	if err != nil {
		return nil, err
	}
	verified, err := verify(ctx, client, started.ContinuationToken, answers)
	if err != nil {
		return nil, err
	}
	if verified.Signup.State != pb.SignupState_SIGNUP_STATE_PASSWORD_REQUIRED {
		return verified.Signup, nil
	}
	return setPassword(ctx, client, verified.ContinuationToken, answers)
}

func verify(
	ctx context.Context, client pb.SignupServiceClient, token string,
	answers *bufio.Scanner,
) (*pb.VerifyCodeResponse, error) {
	question := "Code: "
	for {
		code, err := ask(answers, question)
		if err != nil {
			return nil, err
		}
		verified, err := client.VerifyCode(
			ctx, &pb.VerifyCodeRequest{ContinuationToken: token, Code: code},
		)
		if err == nil {
			return verified, nil
		}
		failure := readFailure(err)
		switch failure.reason {
		case "CODE_EXPIRED":
			_, err = client.ResendCode(ctx, &pb.ResendCodeRequest{
				ContinuationToken: token, RequestId: uuid.NewString(),
			})
			if err != nil {
				return nil, err
			}
			question = "Code of the new mail: "
		case "CODE_INCORRECT", "REQUEST_INVALID":
			left := failure.signup.GetCodeAttemptsRemaining()
			question = fmt.Sprintf(
				"That is not the code. %d attempts left. Code: ", left,
			)
		default:
			return nil, err
		}
	}
}

func setPassword(
	ctx context.Context, client pb.SignupServiceClient, token string,
	answers *bufio.Scanner,
) (*pb.Signup, error) {
	question := "Password: "
	for {
		password, err := ask(answers, question)
		if err != nil {
			return nil, err
		}
		done, err := client.SetPassword(
			ctx, &pb.SetPasswordRequest{ContinuationToken: token, Password: password},
		)
		if err == nil {
			return done.Signup, nil
		}
		failure := readFailure(err)
		switch failure.reason {
		case "PASSWORD_REJECTED", "REQUEST_INVALID":
			question = fmt.Sprintf(
				"This password will not do %v. Another password: ", failure.rules,
			)
		default:
			return nil, err
		}
	}
}

func ask(answers *bufio.Scanner, question string) (string, error) {
	fmt.Fprint(os.Stderr, question)
	if !answers.Scan() {
		return "", errors.New("no answer")
	}
	return answers.Text(), nil
}
