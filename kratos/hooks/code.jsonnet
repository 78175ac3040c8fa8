// The answer is the same for everybody. The flow tells signupd whose code was right
// before this Kratos has answered, so that the account is looked up meanwhile. Nothing
// of the person is sent: what is not sent cannot leak.
function(ctx) {
  flow_id: ctx.flow.id,
}
