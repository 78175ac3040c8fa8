// One whole sign-up, as a front end calls it: `node dist/main.js TARGET ADDRESS`.
//
// It writes questions to standard error, reads one answer a line from standard input,
// and writes the id of the new identity to standard output.

import { randomUUID } from "node:crypto";
import { createInterface } from "node:readline";

import type { ServiceError } from "@grpc/grpc-js";

import { call, connect } from "./contract";
import { readFailure } from "./failure";
import type { SignupServiceClient } from "./stubs/kratos_signup/v1/SignupService";
import type { Signup__Output } from "./stubs/kratos_signup/v1/Signup";
import type { VerifyCodeResponse__Output } from "./stubs/kratos_signup/v1/VerifyCodeResponse";

type Ask = (question: string) => Promise<string>;

// Returns a sign-up that is COMPLETED or ALREADY_REGISTERED. Throws an error if a call
// failed and asking the person again does not help.
async function signUp(
  client: SignupServiceClient,
  address: string,
  ask: Ask,
): Promise<Signup__Output> {
  // One id for each press of the button, also for its retries: a retry with the same
  // id sends no second mail.
  const requestId = randomUUID();
  const started = await call(client, client.startSignup, { email: address, requestId });
  const verified = await verify(client, started.continuationToken, ask);
  if (verified.signup?.state === "SIGNUP_STATE_PASSWORD_REQUIRED") {
    return setPassword(client, verified.continuationToken, ask);
  }
  return verified.signup!;
}

async function verify(
  client: SignupServiceClient,
  continuationToken: string,
  ask: Ask,
): Promise<VerifyCodeResponse__Output> {
  let question = "Code: ";
  for (;;) {
    const code = await ask(question);
    try {
      return await call(client, client.verifyCode, { continuationToken, code });
    } catch (error) {
      const failure = readFailure(error as ServiceError);
      switch (failure.reason) {
        case "CODE_EXPIRED": {
          const requestId = randomUUID();
          await call(client, client.resendCode, { continuationToken, requestId });
          question = "Code of the new mail: ";
          break;
        }
        case "CODE_INCORRECT":
        case "REQUEST_INVALID": {
          const left = failure.signup?.codeAttemptsRemaining;
          question = `That is not the code. ${left} attempts left. Code: `;
          break;
        }
        default:
          throw error;
      }
    }
  }
}

async function setPassword(
  client: SignupServiceClient,
  continuationToken: string,
  ask: Ask,
): Promise<Signup__Output> {
  let question = "Password: ";
  for (;;) {
    const password = await ask(question);
    try {
      const request = { continuationToken, password };
      return (await call(client, client.setPassword, request)).signup!;
    } catch (error) {
      const failure = readFailure(error as ServiceError);
      switch (failure.reason) {
        case "PASSWORD_REJECTED":
        case "REQUEST_INVALID":
          question = `This password will not do (${failure.rules}). Another one: `;
          break;
        default:
          throw error;
      }
    }
  }
}

async function main([target, address]: string[]): Promise<number> {
  if (target === undefined || address === undefined) {
    console.error("usage: node dist/main.js TARGET ADDRESS");
    return 2;
  }
  const lines = createInterface({ input: process.stdin });
  const answers = lines[Symbol.asyncIterator]();
  const ask: Ask = async (question) => {
    process.stderr.write(question);
    const { value, done } = await answers.next();
    if (done) throw new Error("no answer");
    return value;
  };
  const client = connect(target);
  try {
    const done = await signUp(client, address, ask);
    if (done.state !== "SIGNUP_STATE_COMPLETED") {
      console.error(`${done.maskedEmail} has an account already.`);
      return 1;
    }
    console.log(done.identityId);
    return 0;
  } catch (error) {
    const reason = "metadata" in (error as object) && readFailure(error as ServiceError).reason;
    console.error(`No account: ${reason || error}.`);
    return 1;
  } finally {
    lines.close();
    client.close();
  }
}

main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
