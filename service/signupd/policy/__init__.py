"""What callers may send, and how often: the rules, apart from the steps."""
