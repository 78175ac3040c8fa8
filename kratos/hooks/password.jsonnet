// The flow and the address together are what signupd has announced. It must not
// end in `error "cancel"`: Kratos would then store without asking.
function(ctx) {
  flow_id: ctx.flow.id,
  email: ctx.identity.traits.email,
}
