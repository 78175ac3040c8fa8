// The flow and the address tell signupd whose code was right, should Kratos' own
// answer be lost.
function(ctx) {
  flow_id: ctx.flow.id,
  email: ctx.identity.traits.email,
}
