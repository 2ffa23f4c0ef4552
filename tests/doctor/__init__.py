"""The doctor's rules, without servers; tests/e2e/commands/test_doctor.py has the real ones."""
