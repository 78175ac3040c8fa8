// Sends nothing: the answer is the same for everybody, and what is not sent
// cannot leak.
function(ctx) {}
