"""One rule a file: `check(case) -> Verdict`, a pure function that reads like the policy it enforces."""
