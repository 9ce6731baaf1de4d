"""Many runs, their records, and tables that can be checked against both."""
