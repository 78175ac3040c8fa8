"""What the product is: a sign-up, its states, its steps."""
