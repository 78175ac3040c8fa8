"""One whole sign-up, as a front end calls it: synchronous and asynchronous."""
